// @ts-check
/**
 * Glass to glass: from the clock when a picture is given to the encoder to the clock when a browser shows it.
 *
 *   HEADWATER_BIN=target/release/headwater node integration-tests/browser/latency/glass.js [--browsers chromium,firefox,webkit]
 *     [--plays webtransport:webcodecs,rtwebsocket:mse] [--seconds 10] [--attended]
 *
 * Prints a JSON object for each play of each browser that has its transport. `--attended`: ends when its standard input does.
 * Browser, encoder and gateway share a machine, and so a clock and its processors.
 */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { Decode, Transport } from "../../../player/names.js";
import { browser, end, firefox, gateway, until } from "../e2e/harness.js";
import { webkit } from "../e2e/webkit.js";
import { HEIGHT, WIDTH, picture } from "./timecode.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("../e2e/harness.js").Page} Page */

const FRAME_MS = 1000 / 30;

const { values } = parseArgs({
	options: {
		browsers: { type: "string", default: "chromium" },
		plays: { type: "string", default: "webtransport:webcodecs,rtwebsocket:webcodecs,rtwebsocket-stream:webcodecs,rtwebsocket:mse,websocket:mse" },
		seconds: { type: "string", default: "10" },
		attended: { type: "boolean", default: false },
	},
});

/** @typedef {(() => unknown)[]} Endings what has to be ended, the newest first */

/** @type {Record<string, (test: TestContext, decode: string) => Promise<{ page: Page }>>} */
const BROWSERS = {
	chromium: (test) => browser(test, { mayPlaySound: true }),
	firefox,
	webkit: async (test, decode) => {
		const { page } = await webkit(test, decode === Decode.MSE ? Decode.MSE : Decode.WEBCODECS);
		// It takes functions alone, as text.
		const evaluate = (/** @type {any} */ script) => page.evaluate(typeof script === "string" ? /** @type {any} */ (`() => ${script}`) : script);
		return { page: { ...page, evaluate } };
	},
};
const STREAMS = [Transport.RTWEBSOCKET_STREAM, Transport.WEBSOCKETSTREAM];
/** What browsers don't have. @type {Record<string, string[]>} */
const MISSING = { firefox: STREAMS, webkit: [...STREAMS, Transport.WEBTRANSPORT] };

/** @type {Endings} */
const endings = [];
/** Those of the browser at work. @type {Endings} */
const closings = [];
/** @type {Promise<void> | undefined} */
let tidied;
if (values.attended) process.stdin.resume().on("end", () => void tidy().finally(() => process.exit(1)));
try {
	const { rtmp, http, unified } = await gateway(context(endings), { hasUnified: true });
	publish(`${rtmp}/live/glass`);
	for (const name of values.browsers.split(",")) {
		const open = BROWSERS[name];
		if (!open) throw new Error(`--browsers: ${name} is none of ${Object.keys(BROWSERS).join(", ")}`);
		for (const play of values.plays.split(",")) {
			const [transport = "", decode = ""] = play.split(":");
			if (MISSING[name]?.includes(transport)) continue;
			try {
				const { page } = await open(context(closings), decode);
				// What its pages come through speaks no TLS.
				const origin = name === "webkit" ? http : `https://${unified}`;
				const figures = await measure(page, `${origin}/watch/live/glass?transport=${transport}&decode=${decode}`);
				console.log(JSON.stringify({ browser: name, transport, decode, ...figures }));
			} finally {
				await endAll(closings);
			}
		}
	}
} finally {
	await tidy();
	process.stdin.destroy();
}

function tidy() {
	tidied ??= endAll(closings).finally(() => endAll(endings));
	return tidied;
}

/**
 * Those that come meanwhile, too. One that fails keeps no other from it.
 *
 * @param {Endings} endings
 */
async function endAll(endings) {
	for (let ending = endings.shift(); ending; ending = endings.shift()) {
		try {
			await ending();
		} catch (error) {
			console.error(error);
		}
	}
}

/**
 * What the parts of tests take for a test.
 *
 * @param {Endings} endings
 */
function context(endings) {
	return /** @type {TestContext} */ (/** @type {unknown} */ ({ after: (/** @type {() => unknown} */ ending) => endings.unshift(ending) }));
}

/**
 * Encodes a clock for low delay.
 *
 * @param {string} url
 */
function publish(url) {
	const input = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", `${WIDTH}x${HEIGHT}`, "-r", "30", "-i", "-"];
	const video = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30", "-b:v", "500k"];
	// FFmpeg would look at the first five seconds of it before it begins.
	const flags = ["-nostdin", "-loglevel", "error", "-fflags", "nobuffer", "-probesize", "32", "-analyzeduration", "0"];
	const child = spawn("ffmpeg", [...flags, ...input, ...video, "-flush_packets", "1", "-f", "flv", url], { stdio: ["pipe", "inherit", "inherit"] });
	const [start, stop] = [performance.now(), new AbortController()];
	child.stdin.on("error", () => stop.abort());
	endings.unshift(() => (stop.abort(), end(child)));
	void (async () => {
		for (let n = 0; !stop.signal.aborted; n++) {
			await sleep(Math.max(0, start + n * FRAME_MS - performance.now()));
			child.stdin.write(picture(Date.now()));
		}
	})();
}

/**
 * Reads the clock from what the browser shows, each time that it paints.
 *
 * @param {Page} page
 * @param {string} source
 */
async function measure(page, source) {
	await page.goto(source);
	await until(page, { state: "playing" });
	await sleep(3000);
	const code = readFileSync(fileURLToPath(new URL("timecode.js", import.meta.url)), "utf8").replaceAll(/^export /gm, "");
	// The page forbids scripts that are not its own; a driver's may run. The drivers pass text on as it is.
	const script = `(async () => { ${code}
		const root = document.querySelector("headwater-player").shadowRoot;
		const canvas = document.createElement("canvas");
		[canvas.width, canvas.height] = [WIDTH, 2 * SIDE];
		const context = canvas.getContext("2d", { willReadFrequently: true });
		const [delays, end] = [[], performance.now() + ${Number(values.seconds) * 1000}];
		let [last, spoilt] = [-1, 0];
		while (performance.now() < end) {
			await new Promise(requestAnimationFrame);
			const shown = root.querySelector(":is(canvas, video):not([hidden])");
			const [width, height] = shown.tagName === "VIDEO" ? [shown.videoWidth, shown.videoHeight] : [shown.width, shown.height];
			if (!width) continue;
			context.drawImage(shown, 0, 0, width, height * 2 * SIDE / HEIGHT, 0, 0, WIDTH, 2 * SIDE);
			const now = Date.now();
			const time = read(context.getImageData(0, 0, WIDTH, 2 * SIDE).data);
			if (time === undefined) { spoilt++; continue; }
			if (time === last) continue;
			last = time;
			delays.push(((now % RANGE) - time + RANGE) % RANGE);
		}
		return JSON.stringify({ delays, spoilt, stats: document.querySelector("headwater-player").stats });
	})()`;
	const { delays, spoilt, stats } = JSON.parse(String(await /** @type {any} */ (page).evaluate(script)));
	delays.sort((/** @type {number} */ a, /** @type {number} */ b) => a - b);
	/** @param {number} share */
	const at = (share) => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))];
	return { pictures: delays.length, spoilt, p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1), target_ms: tenths(stats.targetMs), buffer_ms: tenths(stats.bufferMs), dropped: stats.framesDropped };
}

/** @param {number} milliseconds */
function tenths(milliseconds) {
	return Math.round(milliseconds * 10) / 10;
}
