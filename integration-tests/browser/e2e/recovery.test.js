// @ts-check
/** What breaks mends itself, while the page stays as it is. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Decision, Transport } from "../../../player/names.js";
import { udpPath } from "./frozen.js";
import { browser, gateway, PATIENCE_MS, publisher, requirePrograms, stats, until } from "./harness.js";

/** @typedef {import("./harness.js").ChromiumPage} Page */

const options = { timeout: 4 * PATIENCE_MS };
/** What people do not notice: ITU-R BT.1359. */
const MAX_SKEW_MS = 45;
const SLOWEST_RETURN_MS = 2000;

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

test("a hidden page asks for sound alone, and has its picture and its delay again within a second", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`, { groupSeconds: 4 });
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1, audioLeads: true });
	await setVisible(page, false);
	await sleep(500);
	const hidden = await stats(page);
	await sleep(10_000);
	const later = await stats(page);
	assert.equal(later.state, "playing");
	assert.ok((later.framesShown ?? 0) - (hidden.framesShown ?? 0) <= 1, "pictures came");
	assert.ok((later.audioSeconds ?? 0) - (hidden.audioSeconds ?? 0) > 9, "sound stopped");
	await setVisible(page, true);
	await sleep(1000);
	const { framesShown = 0, delayMs = Infinity } = await stats(page);
	test.diagnostic(`${framesShown - (later.framesShown ?? 0)} pictures in the first second, ${Math.round(delayMs)} ms behind`);
	assert.ok(framesShown - (later.framesShown ?? 0) > 10, `${framesShown - (later.framesShown ?? 0)} pictures`);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	await until(page, { framesShown: framesShown + 30 });
	await checkSkew(page);
	assert.deepEqual(errors, []);
});

/**
 * Has the page's WebTransport go through a path that can freeze.
 *
 * @param {import("node:test").TestContext} test
 * @param {Page} page
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

/**
 * What the browser does to a page that is covered; a page without a screen never is.
 *
 * @param {Page} page
 * @param {boolean} visible
 */
function setVisible(page, visible) {
	return page.evaluate((state) => {
		Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
		document.dispatchEvent(new Event("visibilitychange"));
	}, visible ? "visible" : "hidden");
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
