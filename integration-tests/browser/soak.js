// @ts-check
/**
 * The player in Chromium for a long time: whether its memory and its delay stay what they are.
 *
 *   HEADWATER_BIN=target/release/headwater node integration-tests/browser/soak.js [--minutes 30] [--query transport=…&decode=…]
 *
 * Prints a JSON object a minute and one for the whole. Exits with 1 where a heap has changed by more than 5 MB or the delay by more
 * than 20 ms between the first and the last tenth, where the page was loaded again, or where anything was given up on the way.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { launch } from "puppeteer-core";

import { CHROMIUM, CHROMIUM_ARGS, gateway, publisher, stats, until } from "./e2e/harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./e2e/harness.js").Page} Page */

const MOST_HEAP_MB = 5;
const MOST_DRIFT_MS = 20;
const SAMPLE_MS = 1000;
const MINUTE_MS = 60_000;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "30" }, query: { type: "string", default: "" } } });
const totalMs = Number(values.minutes) * MINUTE_MS;
/** Of the first and of the last so many milliseconds the delays are compared; the first begin when everything has settled. */
const partMs = totalMs / 10;

/** What has to be ended, the newest first. @type {(() => unknown)[]} */
const endings = [];
const context = /** @type {TestContext} */ (/** @type {unknown} */ ({ after: (/** @type {() => unknown} */ ending) => endings.unshift(ending) }));
try {
	const { rtmp, http } = await gateway(context);
	publisher(context, `${rtmp}/live/soak`, { groupSeconds: 2 });
	const running = await launch({ executablePath: CHROMIUM, args: [...CHROMIUM_ARGS, "--autoplay-policy=no-user-gesture-required"] });
	endings.unshift(() => running.close());
	const page = await running.newPage();
	let loads = 0;
	page.on("load", () => loads++);
	await page.evaluateOnNewDocument(() => {
		const decisions = /** @type {Record<string, number>} */ ({});
		document.addEventListener("decision", (/** @type {any} */ { detail: { kind } }) => (decisions[kind] = (decisions[kind] ?? 0) + 1), true);
		Object.assign(globalThis, { decisions });
	});
	await page.goto(`${http}/watch/live/soak?${values.query}`);
	await until(page, { state: "playing", framesShown: 30, audioLeads: true });
	await sleep(partMs);

	const first = { heap: await heap(page), stats: await stats(page) };
	/** @type {{ atMs: number, delayMs: number }[]} */
	const delays = [];
	const began = performance.now();
	for (let atMs = 0, told = 0; atMs < totalMs; atMs = performance.now() - began) {
		const { delayMs = NaN, targetMs, state } = await stats(page);
		delays.push({ atMs, delayMs });
		if (atMs >= told) {
			console.log(JSON.stringify({ minute: Math.round(atMs / MINUTE_MS), state, delayMs: Math.round(delayMs), targetMs: Math.round(targetMs ?? NaN), heap: await heap(page) }));
			told += MINUTE_MS;
		}
		await sleep(SAMPLE_MS);
	}
	const last = { heap: await heap(page), stats: await stats(page) };

	const early = median(delays.filter(({ atMs }) => atMs < partMs));
	const late = median(delays.filter(({ atMs }) => atMs > totalMs - partMs));
	const added = (/** @type {"gaps" | "underruns" | "framesDropped" | "framesShown"} */ name) => (last.stats[name] ?? NaN) - (first.stats[name] ?? NaN);
	const result = {
		kind: "soak",
		minutes: Number(values.minutes),
		transport: last.stats.transport,
		decode: last.stats.decode,
		heapMb: { first: first.heap, last: last.heap },
		delayMs: { first: early, last: late, most: Math.round(Math.max(...delays.map(({ delayMs }) => delayMs))) },
		skewMs: Math.round(last.stats.skewMs ?? NaN),
		loads,
		gaps: added("gaps"),
		underruns: added("underruns"),
		framesShown: added("framesShown"),
		framesDropped: added("framesDropped"),
		decisions: await page.evaluate(() => /** @type {any} */ (globalThis).decisions),
	};
	console.log(JSON.stringify(result));
	const grown = Object.entries(last.heap).some(([name, mb]) => !(Math.abs(mb - first.heap[name]) <= MOST_HEAP_MB));
	if (grown || !(Math.abs(late - early) <= MOST_DRIFT_MS) || loads !== 1 || result.gaps > 0) process.exitCode = 1;
} finally {
	for (const ending of endings) await ending();
}

/**
 * What page and worker hold when all that can be freed is, in MB.
 *
 * @param {import("puppeteer-core").Page} page
 * @returns {Promise<Record<string, number>>}
 */
async function heap(page) {
	const worker = page.workers().find((worker) => worker.url().includes("worker.js"));
	const sessions = { page: await page.createCDPSession(), worker: worker?.client };
	/** @type {Record<string, number>} */
	const used = {};
	for (const [name, session] of Object.entries(sessions)) {
		await session?.send("HeapProfiler.collectGarbage");
		const { usedSize = NaN } = (await session?.send("Runtime.getHeapUsage")) ?? {};
		used[name] = Math.round(usedSize / 1e5) / 10;
	}
	await sessions.page.detach();
	return used;
}

/** @param {{ delayMs: number }[]} samples */
function median(samples) {
	const sorted = samples.map(({ delayMs }) => delayMs).sort((a, b) => a - b);
	return Math.round(sorted[Math.floor(sorted.length / 2)]);
}
