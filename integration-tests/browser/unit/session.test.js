// @ts-check
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { PipeSession } from "../../../player/session/pipe/session.js";
import { PeerMisbehaved } from "../../../player/session/misbehaved.js";
import { ASLEEP_MS, QUIET_MS, SILENCE_MS } from "../../../player/session/ping.js";
import { decodeFrame } from "../../../player/wire/frame.js";
import { bytes, frames, hex } from "./vectors.js";

/** A session with a clock that stands still until it's moved. */
class Peer {
	now = 0;
	/** @type {import("../../../player/session/session.js").SessionEvent[]} */
	events = [];
	accepts = true;
	window = 2097151;

	/** @param {number} [pingIntervalMs] */
	constructor(pingIntervalMs = Infinity) {
		this.session = new PipeSession(0, { pingIntervalMs });
	}

	/**
	 * Gives it messages and answers with what it sends, one in a line.
	 *
	 * @param {...string} messages
	 */
	receive(...messages) {
		return messages.flatMap((message) => {
			this.session.handleMessage(this.now, bytes(message));
			return this.drain();
		});
	}

	/** @param {number} ms */
	wait(ms) {
		this.now += ms;
		if (this.now >= this.session.pollTimeout()) this.session.handleTimeout(this.now);
		return this.drain();
	}

	drain() {
		for (let event = this.session.pollEvent(this.now); event; event = this.session.pollEvent(this.now)) {
			if (event.type === "opened" && this.accepts) event.flow.accept(this.window);
			this.events.push(event);
		}
		const sent = [];
		for (let out = this.session.pollTransmit(); out; out = this.session.pollTransmit()) sent.push(hex(out));
		return sent;
	}

	messages() {
		return this.events.flatMap((event) => (event.type === "message" ? [{ number: event.number, hex: hex(event.payload) }] : []));
	}

	gaps() {
		return this.events.flatMap((event) => (event.type === "gap" ? [event.messages] : []));
	}
}

test("a flow's opening is acknowledged at once with its window", () => {
	assert.deepEqual(new Peer().receive("100054430400"), ["5a0000ffff7f"]);
});

test("fragments become one message", () => {
	const peer = new Peer();
	peer.receive("1005", ...frames.filter(({ name }) => name.startsWith("keyframe fragment")).map(({ hex }) => hex));
	const [message] = peer.messages();
	assert.ok(message);
	const digest = createHash("sha256").update(bytes(message.hex)).digest("hex");
	assert.match(frames.find(({ name }) => name.startsWith("keyframe fragment 1 "))?.meaning ?? "", new RegExp(`${message.hex.length / 2} bytes, sha256 ${digest}`));
});

test("whole data messages are what is acknowledged, after the acknowledgement window", () => {
	const peer = new Peer();
	peer.receive("1005");
	const sent = frames.filter(({ name }) => name.startsWith("keyframe fragment")).flatMap(({ hex }) => peer.receive(hex));
	assert.deepEqual(sent.slice(0, 2), ["5a059574ffff7f", "5a059574ffff7f"]);
});

test("a larger acknowledgement window is kept to, a smaller one is not", () => {
	const peer = new Peer();
	peer.receive("1005");
	const fragment = `3d05${"00".repeat(1400)}`;
	assert.deepEqual(peer.receive("0a05", fragment), []);
	assert.equal(peer.receive(fragment).length, 1);
	peer.receive("0ad740");
	let fragments = 0;
	do fragments++;
	while (peer.receive(fragment).length === 0);
	assert.equal(fragments, 8);
});

test("what waits is acknowledged after 250 ms, all flows together", () => {
	const peer = new Peer();
	peer.receive("1001", "1002", "1d01aa");
	peer.wait(100);
	peer.receive("1d02bbbb");
	assert.deepEqual(peer.wait(149), []);
	assert.deepEqual(peer.wait(1), ["5a0103ffff7f", "5a0204ffff7f"]);
	assert.equal(peer.session.pollTimeout(), Infinity);
});

test("half of the advertised window is acknowledged at once", () => {
	const peer = new Peer();
	peer.window = 100;
	peer.receive("1001");
	assert.deepEqual(peer.receive(`1d01${"00".repeat(47)}`), []);
	assert.deepEqual(peer.receive("1d01"), ["5a013364"]);
});

test("empty messages and empty fragments are delivered", () => {
	const peer = new Peer();
	peer.receive("1001", "1d01", "3d01aa", "3d01", "1d01bb");
	assert.deepEqual(peer.messages(), [
		{ number: 1, hex: "" },
		{ number: 2, hex: "aabb" },
	]);
});

test("an abandoned part of a message is the first of the abandoned ones", () => {
	const peer = new Peer();
	peer.receive("1000", "1d00aa", "3d00bb");
	assert.deepEqual(peer.receive("1a00"), ["5a0006ffff7f"]);
	peer.receive("1d00cc", "1a0002", "1d00dd");
	assert.deepEqual(peer.messages(), [
		{ number: 1, hex: "aa" },
		{ number: 3, hex: "cc" },
		{ number: 7, hex: "dd" },
	]);
	assert.deepEqual(peer.gaps(), [1, 3]);
});

test("a closed flow is acknowledged and then its closing", () => {
	const peer = new Peer();
	peer.receive("1007", `1d07${"00".repeat(100)}`);
	assert.deepEqual(peer.receive("1c07"), ["5a0766ffff7f", "5c07"]);
	assert.equal(peer.events.at(-1)?.type, "closed");
});

test("a closed flow's number is free at once", () => {
	const peer = new Peer();
	peer.receive("1007");
	peer.session.handleMessage(0, bytes("1c07"));
	peer.session.handleMessage(0, bytes("1007"));
	assert.deepEqual(peer.drain(), ["5a0700ffff7f", "5c07", "5a0700ffff7f"]);
});

test("a flow that nobody accepts is rejected, and still counted", () => {
	const peer = new Peer();
	peer.accepts = false;
	assert.deepEqual(peer.receive("1001"), [`5e0100${hex(Buffer.from("not accepted"))}`, "5a010000"]);
	assert.deepEqual(peer.receive("1d01aaaa"), ["5a010400"]);
	assert.deepEqual(peer.messages(), []);
});

test("a return flow to nothing is rejected", () => {
	const expected = frames.find(({ name }) => name === "FLOW_EXCEPTION unknown association")?.hex;
	assert.deepEqual(new Peer().receive("300809"), [expected, "5a080000"]);
});

test("a return flow knows what it answers", () => {
	const peer = new Peer();
	const control = peer.session.open(bytes("54430400"));
	assert.deepEqual(peer.drain(), ["100054430400"]);
	peer.receive("30020054430400");
	const [opened] = peer.events;
	assert.ok(opened?.type === "opened" && opened.flow.answers === control);
	peer.session.open(bytes("54430401"), opened.flow);
	assert.deepEqual(peer.drain(), ["30010254430401"]);
});

test("a ping is answered with what it said", () => {
	assert.deepEqual(new Peer().receive("010203"), ["410203"]);
});

test("a paused flow's messages wait, and its window shrinks meanwhile", () => {
	const peer = new Peer();
	peer.window = 100;
	peer.receive("1001", "1d01aa");
	const [opened] = peer.events;
	assert.ok(opened?.type === "opened");
	peer.session.pause(opened.flow);
	assert.deepEqual(peer.receive(`1d01${"bb".repeat(60)}`), ["5a014128"]);
	assert.equal(peer.messages().length, 1);
	peer.session.resume(0, opened.flow);
	assert.deepEqual(peer.drain(), ["5a010064"]);
	assert.equal(peer.messages().length, 2);
});

test("a message is sent in fragments within the window", () => {
	const peer = new Peer();
	const flow = peer.session.open(bytes("01"));
	flow.write(new Uint8Array(70000));
	const sent = peer.drain().slice(1);
	assert.ok(sent.slice(0, -1).every((fragment) => fragment.length === 2 * 1402 && fragment.startsWith("3d00")));
	const length = sent.reduce((sum, fragment) => sum + fragment.length / 2, 0);
	assert.ok(length >= 65536 && length < 65536 + 1402, `${length}`);
	assert.ok(peer.receive(`5a00${"848000"}ffff7f`).at(-1)?.startsWith("1d00"));
});

test("a rejected flow abandons what is queued and closes; its number is used again", () => {
	const peer = new Peer();
	const flow = peer.session.open(bytes("01"));
	peer.drain();
	flow.write(bytes("aa"));
	assert.deepEqual(peer.receive("5e00036869"), ["1a00", "1c00"]);
	assert.deepEqual(peer.events, [{ type: "rejected", flow, reason: 3, text: "hi" }]);
	assert.equal(flow.write(bytes("bb")), false);
	peer.receive("5c00");
	assert.equal(peer.session.open(bytes("02")).id, 0);
});

test("flows take turns", () => {
	const peer = new Peer();
	const one = peer.session.open(bytes("01"));
	const two = peer.session.open(bytes("02"));
	for (const flow of [one, two]) flow.write(new Uint8Array(2000));
	assert.deepEqual(
		peer.drain().map((sent) => sent.slice(0, 4)),
		["1000", "1001", "3d00", "3d01", "1d00", "1d01"],
	);
});

test("what a genuine server sent in its first seconds is understood", () => {
	const peer = new Peer();
	peer.session.open(bytes("54430400"));
	peer.drain();
	let dataBytes = 0;
	let acknowledged = 0;
	const live = frames.filter(({ name, direction }) => /^(live #\d|keyframe)/.test(name) && direction === "server->client");
	for (const { hex: text } of live) {
		const frame = decodeFrame(bytes(text));
		if (frame?.type === "ack") continue;
		if (frame?.type === "data") dataBytes += text.length / 2;
		for (const sent of [...peer.receive(text), ...peer.wait(50)]) {
			const ack = decodeFrame(bytes(sent));
			if (ack?.type === "ack") acknowledged += ack.delta;
		}
	}
	for (const sent of peer.wait(250)) {
		const ack = decodeFrame(bytes(sent));
		if (ack?.type === "ack") acknowledged += ack.delta;
	}
	assert.ok(dataBytes > 20000);
	assert.equal(acknowledged, dataBytes);
});

for (const [what, ...messages] of [
	["data on an unknown flow", "1d09aa"],
	["an abandonment on an unknown flow", "1a09"],
	["the closing of an unknown flow", "1c09"],
	["a flow that is opened twice", "1001", "1001"],
	["an acknowledgement for an unknown flow", "5a0900ffff7f"],
	["an exception for an unknown flow", "5e09"],
	["a close acknowledgement for an unknown flow", "5c09"],
]) {
	test(`${what} is misbehaviour`, () => assert.throws(() => new Peer().receive(...messages), PeerMisbehaved));
}

test("more acknowledged than sent is misbehaviour", () => {
	const peer = new Peer();
	peer.session.open(bytes("01"));
	peer.drain();
	assert.throws(() => peer.receive("5a0001ffff7f"), PeerMisbehaved);
});

test("a message without an end is misbehaviour", () => {
	const peer = new Peer();
	peer.receive("1001");
	const fragment = `3d01${"00".repeat(1 << 20)}`;
	assert.throws(() => {
		for (let i = 0; i < 17; i++) peer.receive(fragment);
	}, PeerMisbehaved);
});

test("pings measure the round trip, one at a time", () => {
	const peer = new Peer(1000);
	assert.deepEqual(peer.wait(0), ["0101"]);
	peer.wait(40);
	peer.receive("4101");
	assert.equal(peer.session.ping?.rtt, 40);
	for (let ms = 0; ms < 900; ms += 300) {
		assert.deepEqual(peer.wait(300), []);
		peer.receive("0c");
	}
	assert.deepEqual(peer.wait(60), ["0102"]);
	assert.deepEqual(peer.wait(1000), []);
	peer.receive("4101");
	assert.equal(peer.session.ping?.rtt, 40, "an answer to another ping says nothing");
});

test("a peer that falls quiet is pinged early, and owes an answer from then on", () => {
	const peer = new Peer(1000);
	peer.wait(0);
	peer.receive("4101");
	assert.deepEqual(peer.wait(QUIET_MS - 1), []);
	assert.deepEqual(peer.wait(1), ["0102"]);
	peer.wait(700);
	assert.equal(peer.session.ping?.unanswered(peer.now), 700);
	peer.receive("0c");
	assert.equal(peer.session.ping?.unanswered(peer.now), 0);
});

test("after a sleep a peer is asked before it is called silent", () => {
	const peer = new Peer(1000);
	peer.wait(0);
	assert.deepEqual(peer.wait(SILENCE_MS + ASLEEP_MS + 1), ["0102"]);
	assert.deepEqual(peer.events, []);
	peer.wait(SILENCE_MS);
	assert.deepEqual(peer.events, [{ type: "silent" }]);
});

test("ten seconds of nothing after a ping mean silence", () => {
	const peer = new Peer(1000);
	peer.wait(0);
	peer.wait(5000);
	peer.receive("0a9570");
	peer.wait(9999);
	assert.deepEqual(peer.events, []);
	peer.wait(1);
	assert.deepEqual(peer.events, [{ type: "silent" }]);
});
