// @ts-check
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { browser, gateway, overheard, PATIENCE_MS, picture, publisher, requirePrograms, stats, until } from "./harness.js";

const SECONDS = 10;
const options = { timeout: 4 * PATIENCE_MS };

before(requirePrograms);

test("a published stream plays: pictures move, the audio clock runs, nothing is complained about", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 1, audioSeconds: 0.1, audioLeads: true });
	const first = await picture(page);
	await until(page, { framesShown: SECONDS * 25, audioSeconds: SECONDS, audioLeads: true });
	const { framesShown = 0, framesDropped = 0, delayMs = Infinity, rttMs = Infinity, width, height, muted } = await stats(page);
	assert.notDeepEqual(await picture(page), first);
	assert.deepEqual({ width, height, muted }, { width: 320, height: 180, muted: false });
	assert.ok(framesDropped < framesShown / 10, `${framesDropped} of ${framesShown} frames were dropped`);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	assert.ok(rttMs < 250, `${rttMs} ms round trip`);
	assert.deepEqual(errors, []);
});

test("a stream without sound is led by the wall clock", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`, { silent: true });
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 60, audioLeads: false });
	const { delayMs = Infinity } = await stats(page);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	assert.deepEqual(errors, []);
});

test("a stream plays over TLS", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http.replace("http:", "https:")}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
	assert.deepEqual(errors, []);
});

test("a viewer that is there before the publisher waits for it", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "waiting" });
	publisher(test, `${rtmp}/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
	assert.deepEqual(errors, []);
});

test("a publisher that dies and returns is followed without a reload", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	const first = publisher(test, `${rtmp}/live/test`);
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
	await first.kill();
	await until(page, { state: "waiting" });
	const { framesShown = 0, audioSeconds = 0 } = await stats(page);
	publisher(test, `${rtmp}/live/test`);
	await until(page, { state: "playing", framesShown: framesShown + 60, audioSeconds: audioSeconds + 2, audioLeads: true });
	const { delayMs = Infinity } = await stats(page);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	assert.deepEqual(errors, []);
});

test("a gateway that restarts is found again", options, async (test) => {
	const first = await gateway(test);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.goto(`${first.http}/watch/live/test`);
	await until(page, { state: "waiting" });
	await first.kill();
	await until(page, { state: "reconnecting" });
	const second = await gateway(test, { websocket: Number(new URL(first.http).port) });
	publisher(test, `${second.rtmp}/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
});

test("where the browser refuses sound the player starts muted, and is heard after a click", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: false });
	const shown = overheard(page, { state: "playing", framesShown: 60, muted: true, audioLeads: false, audioSeconds: 0 });
	await page.goto(`${http}/watch/live/test`);
	await shown;
	const { muted, audioSeconds } = await stats(page);
	assert.deepEqual({ muted, audioSeconds }, { muted: true, audioSeconds: 0 });
	await page.getByRole("button", { name: "Unmute" }).click();
	await until(page, { audioSeconds: 1, muted: false, audioLeads: true });
	assert.deepEqual(errors, []);
});

test("a paused player stands still, and goes on with what is live", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await until(page, { state: "playing", framesShown: 30, audioSeconds: 1 });
	await page.getByRole("button", { name: "Pause" }).click();
	await until(page, { state: "paused", audioLeads: false });
	const { framesShown = 0, audioSeconds = 0 } = await stats(page);
	await page.getByRole("button", { name: "Play" }).click();
	await until(page, { state: "playing", framesShown: framesShown + 30, audioSeconds: audioSeconds + 1 });
	const { delayMs = Infinity } = await stats(page);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	assert.deepEqual(errors, []);
});

test("the list shows what is live and leads to it", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(http);
	await page.getByText("Nothing is live").waitFor();
	publisher(test, `${rtmp}/live/test`);
	await page.getByRole("link", { name: "live/test" }).click();
	await until(page, { state: "playing", framesShown: 1 });
	assert.deepEqual(errors, []);
});
