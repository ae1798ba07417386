// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { parseSource } from "../../../player/source.js";
import { candidates } from "../../../player/transport/connection.js";
import { readEndpoint } from "../../../player/transport/endpoint.js";
import { LIFE_MS, Memory } from "../../../player/transport/memory.js";
import { Race, STAGGER_MS } from "../../../player/transport/race.js";

const BOTH = ["webtransport", "rtwebsocket"];

test("the best one has a head start", () => {
	const race = new Race(1000, BOTH);
	assert.equal(race.pollStart(1000), "webtransport");
	assert.equal(race.deadline, 1000 + STAGGER_MS);
	assert.equal(race.pollStart(1000 + STAGGER_MS - 1), undefined);
	assert.equal(race.pollStart(1000 + STAGGER_MS), "rtwebsocket");
	assert.equal(race.deadline, Infinity);
});

test("one that delivers within its head start has no rival", () => {
	const race = new Race(0, BOTH);
	race.pollStart(0);
	assert.ok(race.handleDelivered(80, "webtransport"));
	assert.equal(race.deadline, Infinity);
	assert.equal(race.pollStart(1000), undefined);
	assert.deepEqual(race.entrants, [{ transport: "webtransport", startedMs: 0, endedMs: 80, end: "won" }]);
});

test("the first that delivers wins, the others have lost", () => {
	const race = new Race(0, BOTH);
	race.pollStart(0);
	race.pollStart(300);
	assert.ok(race.handleDelivered(420, "rtwebsocket"));
	assert.equal(race.handleDelivered(430, "webtransport"), false);
	assert.equal(race.winner, "rtwebsocket");
	assert.deepEqual(race.entrants, [
		{ transport: "webtransport", startedMs: 0, endedMs: 420, end: "lost" },
		{ transport: "rtwebsocket", startedMs: 300, endedMs: 420, end: "won" },
	]);
});

test("when one fails the next begins at once", () => {
	const race = new Race(0, BOTH);
	race.pollStart(0);
	race.handleFailed(10, "webtransport", "nothing there");
	assert.equal(race.pollStart(10), "rtwebsocket");
	assert.ok(!race.isLost);
	assert.equal(race.entrants[0].end, "nothing there");
});

test("the race is lost when all have failed, and not before the last has begun", () => {
	const race = new Race(0, BOTH);
	race.pollStart(0);
	race.handleFailed(10, "webtransport", "no");
	assert.ok(!race.isLost);
	race.pollStart(10);
	race.handleFailed(20, "rtwebsocket", "no");
	assert.ok(race.isLost);
	assert.equal(race.winner, undefined);
});

/** @param {{ webTransport?: boolean, webSocketStream?: boolean, userAgent?: string }} browser */
function order({ webTransport, webSocketStream, userAgent = "" }, remembered = "", decode = "auto") {
	if (webTransport) Object.assign(globalThis, { WebTransport: class {} });
	if (webSocketStream) Object.assign(globalThis, { WebSocketStream: class {} });
	const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
	Object.defineProperty(globalThis, "navigator", { value: { userAgent }, configurable: true });
	const found = candidates("auto", remembered, decode);
	if (before) Object.defineProperty(globalThis, "navigator", before);
	for (const name of ["WebTransport", "WebSocketStream"]) Reflect.deleteProperty(globalThis, name);
	return found;
}

const CHROMIUM = { webTransport: true, webSocketStream: true, userAgent: "Mozilla/5.0 AppleWebKit/537.36 Chrome/150.0 Safari/537.36" };
const SAFARI = { webTransport: true, userAgent: "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/26.4 Safari/605.1.15" };

test("each kind of browser has its order, and begins with what won last", () => {
	assert.deepEqual(order(CHROMIUM), ["webtransport", "rtwebsocket-stream", "websocketstream", "websocket"]);
	assert.deepEqual(order({ webTransport: true }), ["webtransport", "rtwebsocket", "websocket"]);
	assert.deepEqual(order(SAFARI), ["rtwebsocket", "websocket"]);
	assert.deepEqual(order({}, "websocket"), ["websocket", "rtwebsocket"]);
	assert.deepEqual(order({}, "carrier pigeon"), ["rtwebsocket", "websocket"]);
});

test("without Media Source Extensions there are no transports without flows", () => {
	assert.deepEqual(order(CHROMIUM, "", "webcodecs"), ["webtransport", "rtwebsocket-stream"]);
});

test("a transport that is asked for has no rival", () => {
	assert.deepEqual(candidates("rtwebsocket", "webtransport"), ["rtwebsocket"]);
});

test("more than two never run at the same time", () => {
	const race = new Race(0, ["webtransport", "rtwebsocket", "websocket"]);
	race.pollStart(0);
	race.pollStart(STAGGER_MS);
	assert.equal(race.deadline, Infinity);
	race.handleFailed(5000, "webtransport", "nothing there");
	assert.equal(race.pollStart(5000), "websocket");
});

test("a choice is remembered for some hours, for one gateway", () => {
	const memory = new Memory(() => store());
	memory.remember(1000, "wss://one", "rtwebsocket");
	assert.equal(memory.recall(1000 + LIFE_MS - 1, "wss://one"), "rtwebsocket");
	assert.equal(memory.recall(1000 + LIFE_MS, "wss://one"), undefined);
	assert.equal(memory.recall(1000, "wss://two"), undefined);
});

test("a choice that was wrong is forgotten", () => {
	const memory = new Memory(() => store());
	memory.remember(0, "wss://one", "rtwebsocket");
	memory.remember(1, "wss://one", undefined);
	assert.equal(memory.recall(1, "wss://one"), undefined);
});

test("a clock that was set back does not make a choice last", () => {
	const memory = new Memory(() => store());
	memory.remember(LIFE_MS, "wss://one", "rtwebsocket");
	assert.equal(memory.recall(0, "wss://one"), undefined);
});

test("a page without storage, or with rubbish in it, remembers nothing", () => {
	const none = new Memory(() => {
		throw new Error("no");
	});
	none.remember(0, "wss://one", "rtwebsocket");
	assert.equal(none.recall(0, "wss://one"), undefined);
	const rubbish = new Memory(() => ({ ...store(), getItem: () => "{" }));
	assert.equal(rubbish.recall(0, "wss://one"), undefined);
});

test("the gateway tells where its WebTransport is", () => {
	const source = parseSource("/watch/live/a%20b/name?x=1", "http://host:4446/watch/live/name");
	assert.ok(source);
	const fmp4 = { port: 4445, path: "/wt-fmp4/", format: "fmp4" };
	const raw = { port: 443, path: "/wt/", format: "raw" };
	const endpoint = readEndpoint(source, "raw", { certificate_hashes: ["00ff10"], webtransport: [fmp4, raw] });
	assert.deepEqual(endpoint, { url: "https://host/wt/live/a%20b", certificateHashes: [Uint8Array.of(0, 255, 16)] });
	assert.deepEqual(readEndpoint(source, "raw", { certificate_hashes: null, webtransport: [{ ...raw, port: 4443 }] }), {
		url: "https://host:4443/wt/live/a%20b",
		certificateHashes: undefined,
	});
	assert.equal(readEndpoint(source, "raw", { webtransport: [fmp4] }), undefined);
	assert.equal(readEndpoint(source, "raw", {}), undefined);
});

/** Storage that lasts as long as the test. */
function store() {
	/** @type {Map<string, string>} */
	const items = new Map();
	return {
		getItem: (/** @type {string} */ key) => items.get(key) ?? null,
		setItem: (/** @type {string} */ key, /** @type {string} */ value) => void items.set(key, value),
		removeItem: (/** @type {string} */ key) => void items.delete(key),
	};
}
