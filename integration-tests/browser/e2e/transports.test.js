// @ts-check
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { before, test } from "node:test";

import { Decode, Transport } from "../../../player/names.js";
import { browser, firefox, gateway, PATIENCE_MS, picture, publisher, requirePrograms, stats, until } from "./harness.js";
import { webkit } from "./webkit.js";

/** @typedef {import("node:test").TestContext} TestContext */
/** @typedef {import("./harness.js").Page} Page */

const options = { timeout: 4 * PATIENCE_MS };
const BROWSERS = { Chromium: (/** @type {TestContext} */ test) => browser(test, { mayPlaySound: true }), Firefox: firefox };

/** What people do not notice: ITU-R BT.1359. */
const MAX_SKEW_MS = 45;
/** Nothing measures the round trip there. @type {Set<string>} */
const FLOWLESS = new Set([Transport.WEBSOCKETSTREAM, Transport.WEBSOCKET]);

before(requirePrograms);

/** Which browser plays over what, from pages over which schemes. */
const PLAYS = /** @type {const} */ ([
	["Chromium", Transport.WEBTRANSPORT, Decode.WEBCODECS, ["http:", "https:"]],
	["Chromium", Transport.WEBTRANSPORT, Decode.MSE, ["https:"]],
	["Chromium", Transport.RTWEBSOCKET, Decode.WEBCODECS, ["http:"]],
	["Chromium", Transport.RTWEBSOCKET_STREAM, Decode.WEBCODECS, ["http:", "https:"]],
	["Chromium", Transport.RTWEBSOCKET_STREAM, Decode.MSE, ["http:"]],
	["Chromium", Transport.WEBSOCKETSTREAM, Decode.MSE, ["https:"]],
	["Firefox", Transport.WEBTRANSPORT, Decode.WEBCODECS, ["http:", "https:"]],
	["Firefox", Transport.RTWEBSOCKET, Decode.WEBCODECS, ["http:", "https:"]],
	["Firefox", Transport.WEBSOCKET, Decode.MSE, ["https:"]],
]);

for (const [name, transport, decode, schemes] of PLAYS) {
	for (const scheme of schemes) {
		test(`${name} plays over ${transport} by ${decode} from a page over ${scheme}`, options, async (test) => {
			const { rtmp, http } = await gateway(test);
			publisher(test, `${rtmp}/live/test`);
			const { page, errors } = await BROWSERS[name](test);
			await page.goto(`${http.replace("http:", scheme)}/watch/live/test?transport=${transport}&decode=${decode}`);
			await plays(page, transport, decode);
			assert.deepEqual(errors, []);
		});
	}
}

for (const transport of [Transport.RTWEBSOCKET, Transport.WEBSOCKET]) {
	test(`WebKitGTK plays over ${transport} by mse`, options, async (test) => {
		const { rtmp, http } = await gateway(test);
		publisher(test, `${rtmp}/live/test`);
		const { page } = await webkit(test, Decode.MSE);
		await page.goto(`${http}/watch/live/test?transport=${transport}&decode=${Decode.MSE}`);
		await plays(page, transport, Decode.MSE);
	});
}

test("WebKitGTK plays over rtwebsocket by webcodecs", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page } = await webkit(test, Decode.WEBCODECS);
	await page.goto(`${http}/watch/live/test?transport=${Transport.RTWEBSOCKET}&decode=${Decode.WEBCODECS}`);
	await until(page, { state: "playing", transport: Transport.RTWEBSOCKET, decode: Decode.WEBCODECS, framesShown: 1, muted: true });
	const first = await picture(page);
	// There is no sound, so that pictures go by the wall clock.
	await until(page, { framesShown: 100, audioLeads: false });
	await checkPicture(page, first, Decode.WEBCODECS);
	await checkSkew(page);
});

test("one port takes RTMP and RTMPS and serves both browsers over both transports at the same moment", options, async (test) => {
	const { unified } = await gateway(test, { hasUnified: true });
	publisher(test, `rtmp://${unified}/live/plain`);
	publisher(test, `rtmps://${unified}/live/secret`);
	const viewers = Object.values(BROWSERS).flatMap((open) => [
		{ open, transport: Transport.WEBTRANSPORT, stream: "plain" },
		{ open, transport: Transport.RTWEBSOCKET, stream: "secret" },
	]);
	await Promise.all(
		viewers.map(async ({ open, transport, stream }) => {
			const { page } = await open(test);
			await page.goto(`https://${unified}/watch/live/${stream}?transport=${transport}`);
			await plays(page, transport);
			await until(page, { state: "playing", audioSeconds: 15 });
		}),
	);
});

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
	await plays(page, Transport.RTWEBSOCKET_STREAM);
	const { race } = await stats(page);
	assert.deepEqual(race?.map(({ transport, end }) => [transport, end]), [
		[Transport.WEBTRANSPORT, "lost"],
		[Transport.RTWEBSOCKET_STREAM, "won"],
	]);
	const { endedMs = Infinity } = race?.[1] ?? {};
	assert.ok(endedMs < 1000, `after ${endedMs} ms`);
	await page.reload();
	await until(page, { state: "playing", framesShown: 1 });
	assert.equal((await stats(page)).race?.[0].transport, Transport.RTWEBSOCKET_STREAM);
});

test("what WebCodecs can't decode is played by Media Source Extensions", options, async (test) => {
	const { rtmp, http } = await gateway(test);
	publisher(test, `${rtmp}/live/test`);
	const { page, errors } = await browser(test, { mayPlaySound: true });
	// Workers are out of a test's reach, but not what they load.
	// Chromium knows no address of a script that a test gives it, and keeps such a one from loopback.
	await page.context().grantPermissions(["local-network-access"]);
	await page.context().route("**/player/worker.js", async (route) => {
		const answer = await route.fetch();
		await route.fulfill({ response: answer, body: (await answer.text()).replaceAll("`avc1.", "`avc9.") });
	});
	await page.goto(`${http}/watch/live/test`);
	await plays(page, Transport.WEBTRANSPORT, Decode.MSE);
	assert.deepEqual(errors, []);
});

/**
 * Waits until the player plays over a transport: pictures move, the audio clock runs, the two are together, and what it says
 * of delay makes sense.
 *
 * @param {Page} page
 * @param {string} transport
 * @param {string} [decode]
 */
async function plays(page, transport, decode = Decode.WEBCODECS) {
	await until(page, { state: "playing", transport, decode, framesShown: 1, audioSeconds: 0.1, audioLeads: true });
	const first = await picture(page);
	await until(page, { framesShown: 100, audioSeconds: 3, audioLeads: true });
	await checkPicture(page, first, decode);
	await checkSkew(page);
	const { rttMs } = await stats(page);
	if (!FLOWLESS.has(transport)) assert.ok(rttMs !== undefined && rttMs < 250, `${rttMs} ms round trip`);
}

/**
 * @param {Page} page
 * @param {Buffer} before what was to be seen before
 * @param {string} decode
 */
async function checkPicture(page, before, decode) {
	assert.notDeepEqual(await picture(page), before);
	const { delayMs = Infinity } = await stats(page);
	assert.ok(delayMs < (decode === Decode.MSE ? 1000 : 500), `${delayMs} ms behind`);
}

/** @param {Page} page */
async function checkSkew(page) {
	const { skewMs = Infinity } = await stats(page);
	assert.ok(Math.abs(skewMs) < MAX_SKEW_MS, `pictures are ${skewMs} ms behind the sound`);
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
