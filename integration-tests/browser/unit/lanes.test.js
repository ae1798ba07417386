// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { PeerMisbehaved } from "../../../player/session/misbehaved.js";
import { MAX_WAIT_MS } from "../../../player/session/streams/receive.js";
import { StreamsSession } from "../../../player/session/streams/session.js";
import { LaneCode, LaneDecoder, decodeRecord, encodeControlHeader, encodeGroupHeader, encodeLaneMessage, encodeRecord } from "../../../player/wire/lane.js";
import { Malformed } from "../../../player/wire/vlu.js";
import { bytes, hex, lanes } from "./vectors.js";

const VIDEO = 3;
const CONTROL_LANE = 0;

/** A session, and the gateway's end of it played by hand. */
class Peer {
	now = 0;
	session = new StreamsSession();
	accepts = true;
	/** @type {import("../../../player/session/session.js").SessionEvent[]} */
	events = [];
	/** @type {(string | number)[][]} What it wrote, ended and stopped. */
	sent = [];
	#nextLane = CONTROL_LANE;

	/** @param {boolean} [hasControl] whether its control lane is open */
	constructor(hasControl = true) {
		if (hasControl) this.lane(encodeControlHeader());
	}

	/**
	 * Opens a lane and sends so much on it.
	 *
	 * @param {...Uint8Array} parts
	 */
	lane(...parts) {
		const id = this.#nextLane++;
		this.session.handleOpened(id);
		this.more(id, ...parts);
		return id;
	}

	/**
	 * A lane of the video's flow: a message for each text.
	 *
	 * @param {number} lane
	 * @param {number} first
	 * @param {...string} messages in hexadecimal
	 */
	video(lane, first, ...messages) {
		return this.lane(encodeGroupHeader({ flow: VIDEO, lane, first }), ...messages.map((text) => encodeLaneMessage(0, bytes(text))));
	}

	/**
	 * @param {number} id
	 * @param {...Uint8Array} parts
	 */
	more(id, ...parts) {
		for (const part of parts) this.session.handleReceived(this.now, id, part);
		this.#drain();
	}

	/** @param {number} id */
	finish(id) {
		this.session.handleFinished(this.now, id);
		this.#drain();
	}

	/** @param {number} id */
	reset(id) {
		this.session.handleReset(this.now, id);
		this.#drain();
	}

	/** @param {import("../../../player/wire/lane.js").LaneRecord} record */
	record(record) {
		this.more(CONTROL_LANE, encodeRecord(record));
	}

	openVideo() {
		this.record({ type: "open", flow: VIDEO, metadata: new Uint8Array() });
		return this;
	}

	/** @param {number} ms */
	wait(ms) {
		this.now += ms;
		if (this.now >= this.session.pollTimeout()) this.session.handleTimeout(this.now);
		this.#drain();
	}

	/** What was handed up: messages in hexadecimal, and gaps as numbers. */
	get content() {
		return this.events.flatMap((event) => {
			if (event.type === "message") return hex(event.payload);
			return event.type === "gap" ? event.messages : [];
		});
	}

	/** The lanes that were stopped, and why. */
	get stopped() {
		return this.sent.filter(([type]) => type === "stop").map(([, lane, code]) => [lane, code]);
	}

	drain() {
		this.#drain();
		return this.sent.splice(0);
	}

	#drain() {
		for (let event = this.session.pollEvent(this.now); event; event = this.session.pollEvent(this.now)) {
			if (event.type === "opened" && this.accepts) event.flow.accept();
			this.events.push(event);
		}
		for (let out = this.session.pollTransmit(); out; out = this.session.pollTransmit()) {
			this.sent.push([out.type, out.lane, ...(out.type === "write" ? [hex(out.bytes)] : out.type === "stop" ? [out.code] : [])]);
		}
	}
}

for (const { name, steps, events } of lanes) {
	test(`vector: ${name}`, () => {
		const peer = new Peer(false);
		/** @type {Set<number>} */
		const opened = new Set();
		let isRefused = false;
		try {
			for (const { lane, hex: text, end } of steps) {
				if (!opened.has(lane)) peer.session.handleOpened(lane);
				opened.add(lane);
				peer.more(lane, bytes(text));
				if (end === "finish") peer.finish(lane);
				if (end === "reset") peer.reset(lane);
			}
		} catch (error) {
			assert.ok(error instanceof PeerMisbehaved || error instanceof Malformed, String(error));
			isRefused = true;
		}
		const told = peer.events.map((event) => {
			if (event.type === "opened") return `open ${event.flow.id} ${hex(event.flow.metadata)}`;
			if (event.type === "message") return `message ${event.flow.id} ${hex(event.payload)}`;
			if (event.type === "gap") return `gap ${event.flow.id} ${event.messages}`;
			return `${event.type} ${"flow" in event ? event.flow.id : ""}`;
		});
		assert.deepEqual(isRefused ? [...told, "refused"] : told, events);
	});
}

test("records are read as they were written, and other ones are skipped", () => {
	for (const record of /** @type {const} */ ([
		{ type: "open", flow: 1, answers: undefined, metadata: bytes("5443") },
		{ type: "open", flow: 200, answers: 0, metadata: bytes("") },
		{ type: "givenUp", flow: 3, lane: 300 },
		{ type: "close", flow: 3, lanes: 1, messages: 200 },
		{ type: "exception", flow: 1, reason: 7, text: "no" },
	])) {
		const encoded = encodeRecord(record);
		assert.equal(encoded[0], encoded.length - 1);
		const decoded = decodeRecord(encoded.subarray(1));
		assert.deepEqual({ answers: undefined, ...decoded }, { answers: undefined, ...record });
	}
	assert.equal(decodeRecord(bytes("7f01")), undefined);
	assert.equal(decodeRecord(bytes("1d0100")), undefined);
	for (const text of ["10", "3000", "1a03", "1c0001", "5e80", "5e00"]) assert.throws(() => decodeRecord(bytes(text)), Malformed);
});

test("a lane is the same however its bytes are cut", () => {
	const whole = Buffer.concat([
		encodeGroupHeader({ flow: 300, lane: 2, first: 70000, preamble: bytes("aabb") }),
		encodeLaneMessage(0, bytes("01".repeat(200))),
		encodeLaneMessage(300, bytes("")),
		encodeLaneMessage(0, bytes("02")),
	]);
	/** @param {number} step */
	const read = (step) => {
		const decoder = new LaneDecoder();
		const items = [];
		for (let at = 0; at < whole.length; at += step) {
			decoder.push(whole.subarray(at, at + step));
			for (let item = decoder.poll(); item; item = decoder.poll()) items.push(item);
		}
		assert.equal(decoder.bufferedBytes, 0);
		return items.map((item) => ({ ...item, ...("payload" in item ? { payload: hex(item.payload) } : {}), ...("preamble" in item ? { preamble: hex(item.preamble) } : {}) }));
	};
	const expected = [
		{ type: "group", flow: 300, lane: 2, first: 70000, preamble: "aabb" },
		{ type: "message", skipped: 0, payload: "01".repeat(200) },
		{ type: "message", skipped: 300, payload: "" },
		{ type: "message", skipped: 0, payload: "02" },
	];
	for (let step = 1; step <= whole.length; step++) assert.deepEqual(read(step), expected, `${step} bytes at a time`);
});

for (const [what, text] of [
	["a number without an end", `01${"80".repeat(10)}`],
	["a preamble that is too long", "01000001818001"],
	["a message that is too long", "0100000100" + "00ffffffff7f"],
	["a record that is too long", "00a001"],
]) {
	test(`${what} is malformed`, () => {
		const decoder = new LaneDecoder();
		decoder.push(bytes(text));
		assert.throws(() => {
			while (decoder.poll());
		}, Malformed);
	});
}

test("messages are handed up as they come", () => {
	const peer = new Peer().openVideo();
	const lane = peer.video(0, 1, "aa");
	peer.more(lane, encodeLaneMessage(0, bytes("bb")));
	assert.deepEqual(peer.content, ["aa", "bb"]);
});

test("a lane that outruns its flow's opening waits for it", () => {
	const peer = new Peer();
	peer.video(0, 1, "aa");
	assert.deepEqual(peer.events, []);
	peer.openVideo();
	assert.deepEqual(peer.content, ["aa"]);
});

test("a newer lane waits until the older one has ended", () => {
	const peer = new Peer().openVideo();
	const older = peer.video(0, 1, "aa");
	peer.video(1, 3, "cc");
	peer.wait(MAX_WAIT_MS - 1);
	peer.more(older, encodeLaneMessage(0, bytes("bb")));
	assert.deepEqual(peer.content, ["aa", "bb"]);
	peer.finish(older);
	assert.deepEqual(peer.content, ["aa", "bb", "cc"]);
	assert.equal(peer.session.pollTimeout(), Infinity);
});

test("after 100 ms from the newer lane's first message the older one is stopped, and the numbers show what was lost", () => {
	const peer = new Peer().openVideo();
	const older = peer.video(0, 1, "aa");
	const newer = peer.lane(encodeGroupHeader({ flow: VIDEO, lane: 1, first: 6 }));
	peer.wait(1000);
	peer.more(newer, encodeLaneMessage(0, bytes("cc")));
	peer.wait(MAX_WAIT_MS - 1);
	assert.deepEqual(peer.content, ["aa"]);
	peer.wait(1);
	assert.deepEqual(peer.content, ["aa", 4, "cc"]);
	assert.deepEqual(peer.stopped, [[older, LaneCode.SUPERSEDED]]);
	peer.more(older, encodeLaneMessage(0, bytes("bb")));
	assert.deepEqual(peer.content, ["aa", 4, "cc"], "it is over");
});

test("an older lane that never came is waited for as long, and stopped when it comes", () => {
	const peer = new Peer().openVideo();
	peer.video(1, 3, "cc");
	assert.deepEqual(peer.content, []);
	peer.wait(MAX_WAIT_MS);
	assert.deepEqual(peer.content, [2, "cc"]);
	const late = peer.video(0, 1, "aa", "bb");
	assert.deepEqual(peer.content, [2, "cc"]);
	assert.deepEqual(peer.stopped, [[late, LaneCode.SUPERSEDED]]);
});

test("what came of a lane that is passed over is handed up before the newer one", () => {
	const peer = new Peer().openVideo();
	peer.video(2, 9, "cc");
	peer.wait(MAX_WAIT_MS / 2);
	const middle = peer.video(1, 4, "bb");
	peer.wait(MAX_WAIT_MS / 2);
	assert.deepEqual(peer.content, [3, "bb", 4, "cc"]);
	assert.deepEqual(peer.stopped, [[middle, LaneCode.SUPERSEDED]]);
});

test("a lane that was given up before its header came is not waited for", () => {
	const peer = new Peer().openVideo();
	peer.video(2, 9, "cc");
	peer.record({ type: "givenUp", flow: VIDEO, lane: 0 });
	peer.record({ type: "givenUp", flow: VIDEO, lane: 1 });
	assert.deepEqual(peer.content, [8, "cc"]);
});

test("of a lane that was given up, the whole messages that came count", () => {
	const peer = new Peer().openVideo();
	const older = peer.video(0, 1, "aa", "bb");
	peer.more(older, bytes("0010ff"));
	peer.video(1, 5, "cc");
	peer.reset(older);
	assert.deepEqual(peer.content, ["aa", "bb", 2, "cc"]);
	peer.record({ type: "givenUp", flow: VIDEO, lane: 0 });
	assert.deepEqual(peer.content, ["aa", "bb", 2, "cc"]);
});

test("messages that were skipped inside of a lane are a gap", () => {
	const peer = new Peer().openVideo();
	peer.lane(encodeGroupHeader({ flow: VIDEO, lane: 0, first: 2 }), encodeLaneMessage(0, bytes("aa")), encodeLaneMessage(3, bytes("bb")));
	assert.deepEqual(peer.content, [1, "aa", 3, "bb"]);
	assert.deepEqual(
		peer.events.flatMap((event) => (event.type === "message" ? [event.number] : [])),
		[2, 6],
	);
});

test("a preamble is handed up when it's another one than the last", () => {
	const peer = new Peer().openVideo();
	for (const [lane, preamble] of ["01", "01", "02", ""].entries()) {
		const header = encodeGroupHeader({ flow: VIDEO, lane, first: lane + 1, preamble: bytes(preamble) });
		peer.finish(peer.lane(header, encodeLaneMessage(0, bytes(`f${lane}`))));
	}
	assert.deepEqual(peer.content, ["01", "f0", "f1", "02", "f2", "f3"]);
});

test("flows do not wait for each other", () => {
	const peer = new Peer().openVideo();
	peer.record({ type: "open", flow: 4, metadata: new Uint8Array() });
	peer.video(1, 3, "cc");
	peer.lane(encodeGroupHeader({ flow: 4, lane: 0, first: 1 }), encodeLaneMessage(0, bytes("aa")));
	assert.deepEqual(peer.content, ["aa"]);
});

test("a flow is closed once all of its lanes are done with", () => {
	const peer = new Peer().openVideo();
	const lane = peer.video(0, 1, "aa");
	peer.record({ type: "close", flow: VIDEO, lanes: 2, messages: 4 });
	peer.record({ type: "givenUp", flow: VIDEO, lane: 1 });
	assert.notEqual(peer.events.at(-1)?.type, "closed");
	peer.finish(lane);
	assert.equal(peer.events.at(-1)?.type, "closed");
	assert.deepEqual(peer.content, ["aa", 3], "what did not come never will");
	const late = peer.video(1, 2, "bb");
	assert.deepEqual(peer.stopped, [[late, LaneCode.REJECTED]]);
});

test("a flow that nobody accepts is rejected with all of its lanes", () => {
	const peer = new Peer();
	peer.accepts = false;
	const early = peer.video(0, 1, "aa");
	peer.openVideo();
	const later = peer.video(1, 2, "bb");
	assert.deepEqual(peer.content, []);
	assert.deepEqual(peer.stopped, [
		[early, LaneCode.REJECTED],
		[later, LaneCode.REJECTED],
	]);
	assert.ok(peer.sent.some(([type, lane, text]) => type === "write" && lane === CONTROL_LANE && String(text).startsWith("0f5e0300")));
});

test("a lane of an unknown kind is stopped", () => {
	const peer = new Peer();
	const lane = peer.lane(bytes("7f00"));
	assert.deepEqual(peer.stopped, [[lane, LaneCode.REJECTED]]);
});

test("what is said goes out on one lane a flow, behind the flow's opening", () => {
	const peer = new Peer();
	const flow = peer.session.open(bytes("54430400"));
	flow.write(bytes("aabb"));
	assert.deepEqual(peer.drain(), [
		["write", 0, "00"],
		["write", 0, "06100054430400"],
		["write", 1, "0100000100"],
		["write", 1, "0002aabb"],
	]);
	flow.write(bytes("cc"));
	flow.finish();
	assert.deepEqual(peer.drain(), [
		["write", 1, "0001cc"],
		["finish", 1],
		["write", 0, "041c000102"],
	]);
	assert.equal(flow.write(bytes("dd")), false);
});

test("a return flow knows what it answers", () => {
	const peer = new Peer();
	const control = peer.session.open(bytes("01"));
	peer.record({ type: "open", flow: 0, answers: control.id, metadata: new Uint8Array() });
	const [opened] = peer.events;
	assert.ok(opened?.type === "opened" && opened.flow.answers === control);
	peer.drain();
	peer.session.open(bytes("02"), opened.flow);
	assert.deepEqual(peer.drain(), [["write", 0, "0430010002"]]);
});

test("a rejected flow of ours is given up", () => {
	const peer = new Peer();
	const flow = peer.session.open(bytes("01"));
	flow.write(bytes("aa"));
	peer.drain();
	flow.write(bytes("bb"));
	peer.record({ type: "exception", flow: 0, reason: 3, text: "hi" });
	assert.deepEqual(peer.events, [{ type: "rejected", flow, reason: 3, text: "hi" }]);
	assert.deepEqual(peer.drain(), [
		["reset", 1],
		["write", 0, "031a0000"],
		["write", 0, "041c000102"],
	]);
});

test("a paused flow's messages wait, whatever lane they come on", () => {
	const peer = new Peer().openVideo();
	const [opened] = peer.events;
	assert.ok(opened?.type === "opened");
	peer.session.pause(opened.flow);
	peer.finish(peer.video(0, 1, "aa"));
	peer.video(1, 2, "bb");
	assert.deepEqual(peer.content, []);
	peer.session.resume(0, opened.flow);
	peer.drain();
	assert.deepEqual(peer.content, ["aa", "bb"]);
});

for (const [what, misbehave] of /** @type {[string, (peer: Peer) => void][]} */ ([
	["a second control lane", (peer) => peer.lane(encodeControlHeader())],
	["the end of the control lane", (peer) => peer.finish(CONTROL_LANE)],
	["a flow's number that is used again", (peer) => peer.openVideo()],
	["a lane that comes twice", (peer) => peer.video(1, 1) + peer.video(1, 1)],
	["a lane that ends in a message", (peer) => peer.finish(peer.lane(encodeGroupHeader({ flow: VIDEO, lane: 0, first: 1 }), bytes("0002aa")))],
	["a flow with fewer lanes than came", (peer) => peer.finish(peer.video(0, 1)) ?? peer.record({ type: "close", flow: VIDEO, lanes: 0, messages: 0 })],
	["a record about a flow that was never open", (peer) => peer.record({ type: "close", flow: 9, lanes: 0, messages: 0 })],
	["an exception for a flow that was never open", (peer) => peer.record({ type: "exception", flow: 9 })],
	["a flood of lanes without flows", (peer) => Array.from({ length: 100 }, (_, lane) => peer.lane(encodeGroupHeader({ flow: 9, lane, first: 1 })))],
	["a flood of lanes that never come in turn", (peer) => Array.from({ length: 200 }, (_, lane) => peer.video(lane + 1, 1))],
	[
		"more than fits that never comes in turn",
		(peer) => Array.from({ length: 7 }, (_, lane) => peer.lane(encodeGroupHeader({ flow: VIDEO, lane: lane + 1, first: 1 }), encodeLaneMessage(0, new Uint8Array(10 << 20)))),
	],
])) {
	test(`${what} is misbehaviour`, () => {
		assert.throws(() => misbehave(new Peer().openVideo()), PeerMisbehaved);
	});
}

test("lanes in any order, cut anywhere and reset anywhere, are handed up in order and nothing is counted twice", () => {
	for (let seed = 1; seed <= 300; seed++) {
		const random = generator(seed);
		const peer = new Peer();
		let number = 1;
		/** @type {{ parts: Uint8Array[], isReset: boolean, lane: number, id?: number }[]} */
		const lanes = Array.from({ length: 6 }, (_, lane) => {
			const first = number + random(3);
			const parts = [encodeGroupHeader({ flow: VIDEO, lane, first })];
			number = first;
			for (let i = random(4); i > 0; i--) {
				const skipped = random(2);
				number += skipped + 1;
				parts.push(encodeLaneMessage(skipped, Uint8Array.of(number - 1)));
			}
			const whole = Buffer.concat(parts);
			const at = random(whole.length + 1);
			return { parts: [whole.subarray(0, at), whole.subarray(at)], isReset: random(4) === 0, lane };
		});
		const isOpenAt = random(10);
		for (let step = 0; lanes.some(({ parts }) => parts.length > 0); step++) {
			if (step === isOpenAt) peer.openVideo();
			const lane = lanes.filter(({ parts }) => parts.length > 0)[random(lanes.filter(({ parts }) => parts.length > 0).length)];
			lane.id ??= peer.lane();
			const part = lane.parts.shift();
			if (lane.parts.length === 0 && lane.isReset) {
				peer.reset(lane.id);
				if (step > isOpenAt) peer.record({ type: "givenUp", flow: VIDEO, lane: lane.lane });
			} else {
				if (part) peer.more(lane.id, part);
				if (lane.parts.length === 0) peer.finish(lane.id);
			}
			if (random(4) === 0) peer.wait(random(150));
		}
		let expected = 1;
		for (const event of peer.events) {
			if (event.type === "gap") expected += event.messages;
			if (event.type !== "message") continue;
			assert.equal(event.payload[0], expected, `seed ${seed}`);
			assert.equal(event.number, expected++, `seed ${seed}`);
		}
	}
});

/** @param {number} seed */
function generator(seed) {
	let state = seed;
	/** @param {number} below */
	return (below) => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return Math.floor((state / 2 ** 32) * below);
	};
}
