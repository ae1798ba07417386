// @ts-check
/** What breaks mends itself, while the page stays as it is. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Decision, Decode, Transport } from "../../../player/names.js";
import { udpPath } from "./frozen.js";
import { browser, gateway, PATIENCE_MS, publisher, requirePrograms, stats, tab, until, wait } from "./harness.js";

/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
/** What people do not notice: ITU-R BT.1359. */
const MAX_SKEW_MS = 45;
const SLOWEST_RETURN_MS = 2000;
/** Ways to play, and how far behind each may be at most, in milliseconds. */
const WAYS = /** @type {const} */ ([
	{ query: `transport=${Transport.AUTO}`, slowestMs: 500 },
	{ query: `transport=${Transport.RTWEBSOCKET}&decode=${Decode.MSE}`, slowestMs: 1000 },
]);

before(requirePrograms);

test("a WebTransport session that freezes is replaced within two seconds, and nothing black is seen", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	const path = await throughPath(test, page, http);
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", transport: Transport.WEBTRANSPORT, framesShown: 30, audioSeconds: 1 });
	const watched = await watch(page);
	path.freeze();
	await until(page, { state: "playing", transport: Transport.RTWEBSOCKET_STREAM });
	await sleep(1000);
	const { longestMs, black, changes } = await watched.end();
	test.diagnostic(`the picture stood still for ${Math.round(longestMs)} ms`);
	assert.ok(longestMs < SLOWEST_RETURN_MS, `the picture stood still for ${longestMs} ms`);
	assert.equal(black, 0);
	assert.ok(changes > 15, `${changes} pictures`);
	const { decisions = [], delayMs = Infinity, framesShown = 0, audioSeconds = 0 } = await stats(page);
	assert.ok(decisions.some(({ kind, detail }) => kind === Decision.MIGRATE && detail.includes("→")), JSON.stringify(decisions));
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	await until(page, { framesShown: framesShown + 30, audioSeconds: audioSeconds + 1, audioLeads: true });
	await checkSkew(page);
	await checkSamePage(page);
	assert.deepEqual(errors, []);
});

test("a publisher that dies ten times is followed each time, with pictures and sound together", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	let current = publisher(test, `${rtmp}/live/test`);
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 15, audioLeads: true });
	await markPage(page);
	const skews = [];
	for (let time = 0; time < 10; time++) {
		await current.kill();
		await until(page, { state: "waiting" });
		const { framesShown = 0, audioSeconds = 0 } = await stats(page);
		current = publisher(test, `${rtmp}/live/test`);
		await until(page, { state: "playing", framesShown: framesShown + 20, audioSeconds: audioSeconds + 0.5, audioLeads: true });
		skews.push(Math.round((await stats(page)).skewMs ?? NaN));
		await checkSkew(page);
	}
	test.diagnostic(`pictures are ${skews} ms behind the sound`);
	const { delayMs = Infinity } = await stats(page);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	await checkSamePage(page);
	assert.deepEqual(errors, []);
});

test("a gateway that is killed three times is found within two seconds of its return, over WebTransport too", options, async (test) => {
	let current = await gateway(test);
	const websocket = Number(new URL(current.http).port);
	publisher(test, `${current.rtmp}/live/test`);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${current.http}/watch/live/test`);
	await until(page, { state: "playing", transport: Transport.WEBTRANSPORT, framesShown: 15 });
	await markPage(page);
	for (let time = 0; time < 3; time++) {
		await current.kill();
		const killedAt = performance.now();
		await until(page, { state: "reconnecting" });
		const noticedMs = performance.now() - killedAt;
		assert.ok(noticedMs < 3000, `noticed after ${noticedMs} ms`);
		const { framesShown = 0 } = await stats(page);
		current = await gateway(test, { websocket });
		const returnedAt = performance.now();
		publisher(test, `${current.rtmp}/live/test`);
		await until(page, { state: "playing", framesShown: framesShown + 1 });
		const ms = performance.now() - returnedAt;
		test.diagnostic(`noticed after ${Math.round(noticedMs)} ms, playing ${Math.round(ms)} ms after its return`);
		// The publisher takes a part of it to start.
		assert.ok(ms < SLOWEST_RETURN_MS + 1000, `back after ${ms} ms`);
	}
	await checkSamePage(page);
});

test("a page that is hidden for a minute is sent sound alone, and has its picture and its delay again within a second", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`, { groupSeconds: 4 });
	const [decoding, buffering] = await Promise.all(WAYS.map((way) => hide(test, `${http}/watch/live/test?${way.query}`, way)));
	test.diagnostic(`decoding: ${decoding}; Media Source: ${buffering}`);
});

test("a page that is frozen leaves, and is at the live edge within a second of its return", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`, { groupSeconds: 2 });
	for (const { query, slowestMs } of WAYS) {
		const { page, setVisible, setFrozen } = await tab(test);
		await page.goto(`${http}/watch/live/test?${query}`);
		await until(page, { state: "playing", framesShown: 30, audioSeconds: 1, audioLeads: true });
		await markPage(page);
		const before = await stats(page);
		await setVisible(false);
		// At once: its worker has what it was told still before it, and stands still with it.
		await setFrozen(true);
		await wait("the viewer to leave", async () => (await viewers(http)) === 0);
		await sleep(5000);
		assert.equal(await viewers(http), 0, "it came back while it was frozen");
		await setFrozen(false);
		await setVisible(true);
		await sleep(1000);
		const { state, framesShown = 0, delayMs = Infinity, bufferMs = Infinity, decisions } = await stats(page);
		const shown = framesShown - (before.framesShown ?? 0);
		test.diagnostic(`${query}: ${shown} pictures since it was frozen, ${Math.round(delayMs)} ms behind, ${Math.round(bufferMs)} ms ahead`);
		assert.equal(state, "playing");
		assert.ok(shown > 10, `${shown} pictures`);
		assert.ok(delayMs < slowestMs, `${delayMs} ms behind`);
		assert.ok(bufferMs < slowestMs, `${bufferMs} ms wait to be played`);
		assert.ok(decisions?.some(({ kind }) => kind === Decision.BACKGROUND), JSON.stringify(decisions));
		await until(page, { framesShown: framesShown + 100, audioSeconds: (before.audioSeconds ?? 0) + 2, audioLeads: true });
		await checkSkew(page);
		await checkSamePage(page);
		await page.close();
	}
});

test("a network that goes and comes back is followed within two seconds", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test?transport=${Transport.RTWEBSOCKET}`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
	await markPage(page);
	await page.context().setOffline(true);
	await until(page, { state: "reconnecting" });
	await sleep(3000);
	const { framesShown = 0, audioSeconds = 0 } = await stats(page);
	await page.context().setOffline(false);
	const returnedAt = performance.now();
	await until(page, { state: "playing", framesShown: framesShown + 1 });
	const ms = performance.now() - returnedAt;
	test.diagnostic(`playing ${Math.round(ms)} ms after the network's return`);
	const { decisions } = await stats(page);
	assert.ok(ms < SLOWEST_RETURN_MS, `back after ${ms} ms: ${JSON.stringify(decisions)}`);
	assert.ok(decisions?.some(({ kind }) => kind === Decision.NETWORK), JSON.stringify(decisions));
	await until(page, { audioSeconds: audioSeconds + 1, audioLeads: true });
	await checkSamePage(page);
});

/**
 * Watches a stream, hides the page for a minute, and sees to what happens.
 *
 * @param {import("node:test").TestContext} test
 * @param {string} url
 * @param {{ slowestMs: number }} way
 * @returns {Promise<string>} what it was like
 */
async function hide(test, url, { slowestMs }) {
	const { page, setVisible } = await tab(test);
	await page.goto(url);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1, audioLeads: true });
	await watchSwaps(page);
	await setVisible(false);
	await sleep(2000);
	const hidden = await stats(page);
	await sleep(58_000);
	const later = await stats(page);
	assert.equal(later.state, "playing");
	assert.ok((later.framesShown ?? 0) - (hidden.framesShown ?? 0) <= 1, "pictures came");
	const heard = (later.audioSeconds ?? 0) - (hidden.audioSeconds ?? 0);
	assert.ok(heard > 57, `${heard} s were heard, by ${later.decode}, with ${(later.underruns ?? 0) - (hidden.underruns ?? 0)} underruns`);
	await setVisible(true);
	await sleep(1000);
	const after = await stats(page);
	const { framesShown = 0, delayMs = Infinity } = after;
	const shown = framesShown - (later.framesShown ?? 0);
	assert.ok(shown > 10, `${shown} pictures by ${later.decode}: ${JSON.stringify(after)}`);
	assert.ok(delayMs < slowestMs, `${delayMs} ms behind`);
	await until(page, { framesShown: framesShown + 100, audioLeads: true });
	await checkSkew(page);
	const swaps = await page.evaluate(() => /** @type {number[]} */ (/** @type {any} */ (globalThis).swaps));
	return `${shown} pictures in the first second, ${Math.round(delayMs)} ms behind, silent for ${swaps.map(Math.round)} ms`;
}

/**
 * How long it takes each time when a `<video>` is given another source.
 *
 * @param {Page} page
 */
function watchSwaps(page) {
	return page.evaluate(() => {
		const video = /** @type {any} */ (document.querySelector("headwater-player")).shadowRoot.querySelector("video");
		const swaps = /** @type {number[]} */ ([]);
		let since = NaN;
		video.addEventListener("emptied", () => (since = performance.now()));
		video.addEventListener("playing", () => {
			if (since > 0) swaps.push(performance.now() - since);
			since = NaN;
		});
		Object.assign(globalThis, { swaps });
	});
}

/**
 * How many the gateway says that there are.
 *
 * @param {string} http
 */
async function viewers(http) {
	const streams = /** @type {any} */ (await (await fetch(`${http}/api/v1/streams`)).json());
	return (streams.streams ?? streams)[0].viewers;
}

/**
 * Has the page's WebTransport go through a path that can freeze.
 *
 * @param {import("node:test").TestContext} test
 * @param {import("./harness.js").ChromiumPage} page
 * @param {string} http
 */
async function throughPath(test, page, http) {
	const offers = /** @type {any} */ (await (await fetch(`${http}/player/transports.json`)).json());
	const raw = offers.webtransport.find((/** @type {any} */ offer) => offer.format === "raw");
	const path = await udpPath(test, raw.port);
	await page.context().route("**/player/transports.json", (route) => route.fulfill({ json: { ...offers, webtransport: [{ ...raw, port: path.port }] } }));
	return path;
}

/**
 * Looks at the picture at each of the page's frames.
 *
 * @param {Page} page
 */
async function watch(page) {
	await markPage(page);
	await page.evaluate(() => {
		const seen = { longestMs: 0, black: 0, changes: 0, ended: false };
		const copy = new OffscreenCanvas(32, 18).getContext("2d", { willReadFrequently: true });
		let before = "";
		let changedAt = performance.now();
		const look = () => {
			const canvas = /** @type {any} */ (document.querySelector("headwater-player")).shadowRoot.querySelector("canvas");
			copy?.drawImage(canvas, 0, 0, 32, 18);
			const pixels = copy?.getImageData(0, 0, 32, 18).data ?? new Uint8ClampedArray();
			if (pixels.every((value, i) => i % 4 === 3 || value < 8)) seen.black++;
			const now = performance.now();
			seen.longestMs = Math.max(seen.longestMs, now - changedAt);
			if (pixels.join() !== before) {
				before = pixels.join();
				changedAt = now;
				seen.changes++;
			}
			if (!seen.ended) requestAnimationFrame(look);
		};
		look();
		Object.assign(globalThis, { seen });
	});
	return {
		end: () =>
			page.evaluate(() => {
				const { seen } = /** @type {any} */ (globalThis);
				seen.ended = true;
				return /** @type {{ longestMs: number, black: number, changes: number }} */ (seen);
			}),
	};
}

/** @param {Page} page */
function markPage(page) {
	return page.evaluate(() => void Object.assign(globalThis, { isMarked: true }));
}

/** @param {Page} page */
async function checkSamePage(page) {
	assert.ok(await page.evaluate(() => /** @type {any} */ (globalThis).isMarked), "the page was loaded again");
}

/** @param {Page} page */
async function checkSkew(page) {
	const { skewMs = Infinity } = await stats(page);
	assert.ok(Math.abs(skewMs) <= MAX_SKEW_MS, `pictures are ${skewMs} ms behind the sound`);
}
