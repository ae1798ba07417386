// @ts-check
/** At the live edge: what kinds of streams there are over which transports, how fast the first picture is there, and that the delay stays. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Decode, Transport } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, picture, publisher, requirePrograms, stats, until } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
/** What people do not notice: ITU-R BT.1359. */
const MAX_SKEW_MS = 45;

/** Kinds of streams beside the usual one, which other tests play over every transport. */
const KINDS = Object.freeze({ silent: { silent: true }, blind: { blind: true }, reordered: { bFrames: true } });

const PLAYS = /** @type {const} */ ([
	["Chromium", (/** @type {TestContext} */ test) => browser(test, { mayPlaySound: true }), [Transport.WEBTRANSPORT, Transport.RTWEBSOCKET_STREAM, Transport.WEBSOCKETSTREAM]],
	["Firefox", firefox, [Transport.RTWEBSOCKET, Transport.WEBSOCKET]],
]);

before(requirePrograms);

for (const [name, open, transports] of PLAYS) {
	test(`${name} plays pictures alone, sound alone and reordered pictures over ${transports.join(", ")}`, options, async (test) => {
		const { rtmp, http } = await gateway(test);
		for (const [kind, how] of Object.entries(KINDS)) publisher(test, `${rtmp}/live/${kind}`, how);
		const { page, errors } = await open(test);
		for (const transport of transports) {
			const decode = transport === Transport.WEBSOCKET || transport === Transport.WEBSOCKETSTREAM ? Decode.MSE : Decode.WEBCODECS;
			for (const kind of Object.keys(KINDS)) {
				await page.goto(`${http.replace("http:", "https:")}/watch/live/${kind}?transport=${transport}&decode=${decode}`);
				await plays(page, kind, { transport, decode }).catch((error) => {
					throw new Error(`${kind} over ${transport}: ${error.message}`, { cause: error });
				});
			}
		}
		assert.deepEqual(errors, []);
	});
}

test("who joins a group of any length in its middle has a picture at once, and the right delay a second later", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	const lengths = [1, 2, 4];
	for (const length of lengths) publisher(test, `${rtmp}/live/${length}`, { groupSeconds: length });
	await sleep(5000);
	for (const decode of [Decode.WEBCODECS, Decode.MSE]) for (const length of lengths) {
		await page.goto(`${http}/watch/live/${length}?decode=${decode}`);
		await until(page, { framesShown: 1 });
		await sleep(1000);
		const { firstPictureMs = Infinity, delayMs = Infinity, targetMs = 0, rttMs = 0 } = await stats(page);
		test.diagnostic(`${decode}, groups of ${length} s: first picture after ${Math.round(firstPictureMs)} ms, ${Math.round(delayMs)} ms behind a second later, target ${Math.round(targetMs)} ms`);
		assert.ok(firstPictureMs < 1000, `first picture of groups of ${length} s after ${firstPictureMs} ms`);
		// What a sound card takes comes on top of the target.
		assert.ok(delayMs - targetMs - rttMs / 2 < 150, `${delayMs} ms behind in groups of ${length} s, the target being ${targetMs} ms`);
	}
	assert.deepEqual(errors, []);
});

test("on a machine that is six times slower the delay does not grow", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioLeads: true });
	const session = await page.context().newCDPSession(page);
	await session.send("Emulation.setCPUThrottlingRate", { rate: 6 });
	// That slows the page alone.
	const [worker] = page.workers().filter((worker) => worker.url().includes("worker.js"));
	const burning = await worker.evaluate(() => {
		return Number(setInterval(() => {
			for (const end = performance.now() + 25; performance.now() < end; );
		}, 30));
	});
	const delays = [];
	for (let second = 0; second < 6; second++) {
		await sleep(1000);
		delays.push((await stats(page)).delayMs ?? Infinity);
	}
	test.diagnostic(`${delays.map(Math.round)} ms behind`);
	assert.ok(Math.max(...delays) < 600, `${delays.map(Math.round)} ms behind`);
	await session.send("Emulation.setCPUThrottlingRate", { rate: 1 });
	await worker.evaluate((timer) => clearInterval(timer), burning);
	const { framesShown = 0 } = await stats(page);
	await until(page, { state: "playing", framesShown: framesShown + 30 });
});

/**
 * Waits until a stream plays, by its pixels and its clock.
 *
 * @param {Page} page
 * @param {string} kind of `KINDS`
 * @param {{ transport: string, decode: string }} by
 */
async function plays(page, kind, by) {
	if (kind === "blind") {
		await until(page, { state: "playing", ...by, audioSeconds: 1, audioLeads: true });
		return;
	}
	await until(page, { state: "playing", ...by, framesShown: 5 });
	const first = await picture(page);
	await until(page, { framesShown: 25, audioLeads: kind === "reordered" });
	assert.notDeepEqual(await picture(page), first);
	// How far pictures and sound are apart is smoothed: what the start was like has to fade.
	if (kind === "reordered") await until(page, { framesShown: 100 });
	const { delayMs = Infinity, skewMs = Infinity } = await stats(page);
	assert.ok(delayMs < (by.decode === Decode.MSE ? 1200 : 600), `${delayMs} ms behind`);
	if (kind === "reordered") assert.ok(Math.abs(skewMs) <= MAX_SKEW_MS, `pictures are ${skewMs} ms behind the sound`);
}
