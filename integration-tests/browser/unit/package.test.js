// @ts-check
/** The player as a package: what is packed, and what types come with it. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const PLAYER = fileURLToPath(new URL("../../../player/", import.meta.url));
const TOOLS = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));

/** @type {{ dependencies?: object, scripts: { prepack: string } }} */
const manifest = JSON.parse(readFileSync(join(PLAYER, "package.json"), "utf8"));

test("the package has all that the element imports, no page and no dependency", () => {
	const told = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: PLAYER, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
	/** @type {string[]} */
	const files = JSON.parse(told)[0].files.map((/** @type {{ path: string }} */ { path }) => path);
	const awaited = ["element.js", "worker.js", "media/worklet.js"];
	for (const path of awaited) {
		assert.ok(files.includes(path), path);
		const imports = readFileSync(join(PLAYER, path), "utf8").matchAll(/^import .*?"(\..+)";$/gm);
		for (const [, name] of imports) {
			const { pathname } = new URL(name, `file:///${path}`);
			if (!awaited.includes(pathname.slice(1))) awaited.push(pathname.slice(1));
		}
	}
	assert.deepEqual(files.filter((path) => path.endsWith(".html") || path.endsWith(".css") || path.endsWith(".test.js")), []);
	assert.equal(manifest.dependencies, undefined);
});

test("its types know the element", () => {
	const folder = mkdtempSync(join(tmpdir(), "headwater-types-"));
	try {
		const command = manifest.scripts.prepack.replace("--outDir types", `--outDir ${folder}`);
		execFileSync("sh", ["-c", command], { cwd: PLAYER, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, PATH: `${TOOLS}${delimiter}${process.env.PATH}` } });
		const types = readFileSync(join(folder, "element.d.ts"), "utf8");
		for (const member of ["class HeadwaterPlayer extends HTMLElement", "get paused(): boolean", "set volume(", "play(): Promise<void>", "goLive(): void"]) {
			assert.ok(types.includes(member), `${member} is missing in\n${types}`);
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
