// @ts-check
/**
 * A page in WebKitGTK, which stands in for Safari. It can't do without a screen, and gets one of its own.
 *
 * Its WebDriver hangs now and then while a page plays by Media Source Extensions. So nobody drives it: its pages come through a
 * proxy that adds a script to them, which asks the test what to evaluate.
 *
 * ```
 *  MiniBrowser ──▶ proxy ──▶ gateway
 *                    ▲ └ /test: what to evaluate, and what came of it
 *                  test
 * ```
 */

import { spawn } from "node:child_process";
import { createServer, request } from "node:http";
import { text } from "node:stream/consumers";

import { Decode } from "../../../player/names.js";
import { WEBKIT, end } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("node:http").IncomingMessage} IncomingMessage */
/** @typedef {{ script: string, done: (value: any) => void }} Script */

/** How it is started on a machine that has nothing but processors, by what decodes. */
const STARTS = {
	[Decode.MSE]: { args: ["--autoplay-policy=allow"], env: {} },
	[Decode.WEBCODECS]: {
		// Its page crashes when it copies decoded sound. Without a click or a policy there is none.
		args: [],
		// What is drawn would go through an imitated GPU, five pictures a second. A <video> can't do without.
		env: { WEBKIT_DISABLE_COMPOSITING_MODE: "1" },
	},
};
/** It looks for no sound card; sound takes its time all the same. */
const SILENCE = { GST_PLUGIN_FEATURE_RANK: "alsasink:NONE,openalsink:NONE" };
const SCREEN = { width: 1280, height: 800 };
/** Where the script in the page asks. */
const TEST_PATH = "/test";

/**
 * Opens it.
 *
 * @param {TestContext} test
 * @param {keyof typeof STARTS} decode what will decode there; sound plays by `mse` alone
 * @returns {Promise<{ page: import("./harness.js").Page, errors: string[] }>}
 */
export async function webkit(test, decode) {
	const display = await startScreen(test);
	/** @type {Proxy | undefined} */
	let proxy;
	const evaluate = (/** @type {() => any} */ script) => {
		if (!proxy) throw new Error("no page is open");
		return proxy.evaluate(script);
	};
	return {
		page: {
			goto: async (url) => {
				const { origin, pathname, search } = new URL(url);
				proxy = await Proxy.start(test, origin);
				const { args, env } = STARTS[decode];
				const child = spawn(WEBKIT, ["--private", ...args, proxy.origin + pathname + search], {
					env: { ...process.env, ...SILENCE, ...env, DISPLAY: display },
					stdio: "ignore",
				});
				test.after(() => end(child));
			},
			evaluate,
			screenshot: async ({ clip }) => {
				// Nobody moves its window, which has its bars above the page.
				const { left, top } = await evaluate(() => ({ left: screenX, top: screenY + outerHeight - innerHeight }));
				return shoot(display, { ...clip, x: clip.x + left, y: clip.y + top });
			},
		},
		errors: [],
	};
}

/** Between the browser and the gateway. */
class Proxy {
	#server = createServer((from, to) => this.#handleRequest(from, to));
	#gateway;
	/** @type {Script[]} */
	#scripts = [];
	/** @type {((value: any) => void) | undefined} Waits for what came of the script that the page has. */
	#done;
	/** @type {import("node:http").ServerResponse | undefined} The page, waiting for a script. */
	#page;

	/** @param {string} gateway */
	constructor(gateway) {
		this.#gateway = gateway;
		this.#server.on("upgrade", (from, socket) => this.#handleUpgrade(from, socket));
	}

	/**
	 * @param {TestContext} test
	 * @param {string} gateway
	 */
	static async start(test, gateway) {
		const proxy = new Proxy(gateway);
		await new Promise((listening) => proxy.#server.listen(0, "127.0.0.1", () => listening(undefined)));
		test.after(() => {
			proxy.#server.close();
			proxy.#server.closeAllConnections();
		});
		return proxy;
	}

	get origin() {
		const { port } = /** @type {import("node:net").AddressInfo} */ (this.#server.address());
		return `http://127.0.0.1:${port}`;
	}

	/**
	 * @param {() => any} script
	 * @returns {Promise<any>}
	 */
	evaluate(script) {
		return new Promise((done) => {
			this.#scripts.push({ script: String(script), done });
			this.#hand();
		});
	}

	/** Gives the page its next script. */
	#hand() {
		if (!this.#page || this.#scripts.length === 0) return;
		const { script, done } = /** @type {Script} */ (this.#scripts.shift());
		this.#done = done;
		this.#page.end(script);
		this.#page = undefined;
	}

	/**
	 * @param {IncomingMessage} from
	 * @param {import("node:http").ServerResponse} to
	 */
	async #handleRequest(from, to) {
		if (from.url === TEST_PATH) {
			const answer = await text(from);
			if (answer) this.#done?.(JSON.parse(answer).value);
			this.#page = to;
			return this.#hand();
		}
		const { method, url } = from;
		// Its pages are changed, so they may not come compressed.
		const { "accept-encoding": _encoding, ...headers } = from.headers;
		const forwarded = request(new URL(url ?? "/", this.#gateway), { method, headers }, async (answer) => {
			const { "content-length": _length, "content-security-policy": _policy, ...kept } = answer.headers;
			to.writeHead(answer.statusCode ?? 502, kept);
			if (!answer.headers["content-type"]?.startsWith("text/html")) return answer.pipe(to);
			// The page's own policy, which would keep the script out, is for the other browsers to test.
			to.end((await text(answer)).replace("</body>", `<script>(${ask})("${TEST_PATH}")</script></body>`));
		});
		forwarded.on("error", () => to.destroy());
		from.pipe(forwarded);
	}

	/**
	 * @param {IncomingMessage} from
	 * @param {import("node:stream").Duplex} browser
	 */
	#handleUpgrade(from, browser) {
		const forwarded = request(new URL(from.url ?? "/", this.#gateway), { headers: from.headers });
		forwarded.on("upgrade", (answer, gateway, head) => {
			const { rawHeaders: raw } = answer;
			const fields = raw.flatMap((name, i) => (i % 2 === 0 ? `${name}: ${raw[i + 1]}\r\n` : []));
			browser.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join("")}\r\n`);
			browser.write(head);
			for (const [one, other] of [[browser, gateway], [gateway, browser]]) {
				one.pipe(other);
				one.on("error", () => other.destroy());
				one.on("close", () => other.destroy());
			}
		});
		for (const refused of ["response", "error"]) forwarded.on(refused, () => browser.destroy());
		forwarded.end();
	}
}

/**
 * Runs in the page: evaluates what the test wants, one after the other.
 *
 * @param {string} path
 */
async function ask(path) {
	for (let answer = ""; ; ) {
		const script = await (await fetch(path, { method: "POST", body: answer })).text();
		answer = JSON.stringify({ value: await (0, eval)(`(${script})`)() });
	}
}

/**
 * A screen that nobody sees.
 *
 * @param {TestContext} test
 * @returns {Promise<string>} its number
 */
async function startScreen(test) {
	const size = `${SCREEN.width}x${SCREEN.height}x24`;
	const child = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", size, "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
	test.after(() => end(child));
	return new Promise((started, failed) => {
		child.stdio[3]?.once("data", (number) => started(`:${String(number).trim()}`));
		child.once("exit", () => failed(new Error("there is no screen")));
	});
}

/**
 * What is on a part of a screen.
 *
 * @param {string} display
 * @param {{ x: number, y: number, width: number, height: number }} clip
 * @returns {Promise<Buffer>}
 */
async function shoot(display, { x, y, width, height }) {
	const [left, top] = [Math.round(x), Math.round(y)];
	const size = `${Math.min(Math.round(width), SCREEN.width - left)}x${Math.min(Math.round(height), SCREEN.height - top)}`;
	const input = ["-f", "x11grab", "-draw_mouse", "0", "-video_size", size, "-grab_x", `${left}`, "-grab_y", `${top}`, "-i", display];
	const child = spawn("ffmpeg", ["-nostdin", "-loglevel", "error", ...input, "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	/** @type {Buffer[]} */
	const parts = [];
	for await (const part of child.stdout) parts.push(part);
	if (parts.length === 0) throw new Error("there is nothing on the screen");
	return Buffer.concat(parts);
}
