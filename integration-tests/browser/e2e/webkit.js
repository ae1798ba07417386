// @ts-check
/** A page in WebKitGTK, which stands in for Safari. It can't do without a screen, and gets one of its own. */

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { Builder } from "selenium-webdriver";

import { PATIENCE_MS, WEBKIT, WEBKIT_DRIVER, end } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */

/**
 * Opens it.
 *
 * @param {TestContext} test
 * @returns {Promise<{ page: import("./harness.js").Page, errors: string[] }>}
 */
export async function webkit(test) {
	/** @type {(() => Promise<void>)[]} What ends it, in the order of its beginning. */
	const ends = [];
	test.after(async () => {
		for (const end of ends.reverse()) await end();
	});
	const server = await startDriver(ends, await startScreen(ends));
	const driver = await new Builder()
		.usingServer(server)
		.withCapabilities({
			browserName: "MiniBrowser",
			// The gateway's certificate is one that it made for itself.
			acceptInsecureCerts: true,
			"webkitgtk:browserOptions": { binary: WEBKIT, args: ["--automation"] },
		})
		.build();
	// A browser that crashed has ended.
	ends.push(() => driver.quit().catch(() => {}));
	return {
		page: {
			goto: (url) => driver.get(url),
			evaluate: (script) => driver.executeScript(`return (${script})()`),
			screenshot: async () => Buffer.from(await driver.takeScreenshot(), "base64"),
		},
		errors: [],
	};
}

/**
 * A screen that nobody sees.
 *
 * @param {(() => Promise<void>)[]} ends
 * @returns {Promise<string>} its number
 */
async function startScreen(ends) {
	const child = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1280x800x24", "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
	ends.push(() => end(child));
	return new Promise((started, failed) => {
		child.stdio[3]?.once("data", (number) => started(`:${String(number).trim()}`));
		child.once("exit", () => failed(new Error("there is no screen")));
	});
}

/**
 * @param {(() => Promise<void>)[]} ends
 * @param {string} display
 * @returns {Promise<string>} its address
 */
async function startDriver(ends, display) {
	const port = await freePort();
	const child = spawn(WEBKIT_DRIVER, [`--port=${port}`], { env: { ...process.env, DISPLAY: display }, stdio: "ignore" });
	ends.push(() => end(child));
	const address = `http://127.0.0.1:${port}`;
	for (const until = performance.now() + PATIENCE_MS; ; await sleep(50)) {
		const isReady = await fetch(`${address}/status`).then((answer) => answer.ok, () => false);
		if (isReady) return address;
		if (performance.now() > until || child.exitCode !== null) throw new Error("the driver did not start");
	}
}

/** @returns {Promise<number>} */
async function freePort() {
	const server = createServer();
	await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
	const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
	await new Promise((closed) => server.close(closed));
	return port;
}
