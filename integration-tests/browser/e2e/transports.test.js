// @ts-check
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { before, test } from "node:test";

import { Transport } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, picture, publisher, requirePrograms, stats, until } from "./harness.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
const BROWSERS = { Chromium: (/** @type {TestContext} */ test) => browser(test, { mayPlaySound: true }), Firefox: firefox };

before(requirePrograms);

for (const [name, open] of Object.entries(BROWSERS)) {
	for (const [transport, scheme] of [
		[Transport.WEBTRANSPORT, "http:"],
		[Transport.WEBTRANSPORT, "https:"],
		[Transport.RTWEBSOCKET, "http:"],
		[Transport.RTWEBSOCKET, "https:"],
	]) {
		test(`${name} plays over ${transport} from a page over ${scheme}`, options, async (test) => {
			const { rtmp, http } = await gateway(test);
			publisher(test, `${rtmp}/live/test`);
			const { page, errors } = await open(test);
			await page.goto(`${http.replace("http:", scheme)}/watch/live/test?transport=${transport}`);
			await plays(page, transport);
			assert.deepEqual(errors, []);
		});
	}
}

test("left to itself, the player takes WebTransport, and opens nothing else", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	await page.goto(`${http}/watch/live/test`);
	await plays(page, Transport.WEBTRANSPORT);
	const { race } = await stats(page);
	assert.deepEqual(race?.map(({ transport, end }) => [transport, end]), [[Transport.WEBTRANSPORT, "won"]]);
	assert.deepEqual(errors, []);
});

test("where UDP is dropped the player is at work over RTWebSocket within a second, and remembers it", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const port = await drain(test);
	const { page } = await browser(test, { mayPlaySound: true });
	await page.context().route("**/player/transports.json", (route) => {
		return route.fulfill({ json: { certificate_hashes: ["00".repeat(32)], webtransport: [{ port, path: "/wt/", format: "raw" }] } });
	});
	await page.goto(`${http}/watch/live/test`);
	await plays(page, Transport.RTWEBSOCKET);
	const { race } = await stats(page);
	assert.deepEqual(race?.map(({ transport, end }) => [transport, end]), [
		[Transport.WEBTRANSPORT, "lost"],
		[Transport.RTWEBSOCKET, "won"],
	]);
	const { endedMs = Infinity } = race?.[1] ?? {};
	assert.ok(endedMs < 1000, `after ${endedMs} ms`);
	await page.reload();
	await until(page, { state: "playing", framesShown: 1 });
	assert.equal((await stats(page)).race?.[0].transport, Transport.RTWEBSOCKET);
});

/**
 * Waits until the player plays over a transport: pictures move, the audio clock runs, and what it says of delay makes sense.
 *
 * @param {Page} page
 * @param {string} transport
 */
async function plays(page, transport) {
	await until(page, { state: "playing", transport, framesShown: 1, audioSeconds: 0.1, audioLeads: true });
	const first = await picture(page);
	await until(page, { framesShown: 100, audioSeconds: 3, audioLeads: true, rttMs: 0 });
	const { delayMs = Infinity, rttMs = Infinity } = await stats(page);
	assert.notDeepEqual(await picture(page), first);
	assert.ok(delayMs < 500, `${delayMs} ms behind`);
	assert.ok(rttMs < 250, `${rttMs} ms round trip`);
}

/**
 * A UDP port that swallows what comes.
 *
 * @param {TestContext} test
 * @returns {Promise<number>}
 */
async function drain(test) {
	const socket = createSocket("udp4");
	test.after(() => socket.close());
	await new Promise((bound) => socket.bind(0, "127.0.0.1", () => bound(undefined)));
	return socket.address().port;
}
