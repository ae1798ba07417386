// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../../player/conversation.js";
import { parseSource } from "../../../player/source.js";
import { SILENCE_MS } from "../../../player/session/ping.js";
import { PipeSession } from "../../../player/session/pipe/session.js";
import { decodeFrame, encodeFrame } from "../../../player/wire/frame.js";
import { decodeMessage, decodeMetadata, decodeValues, encodeCommand, encodeMessage, encodeMetadata } from "../../../player/wire/tc.js";
import { bytes, frames } from "./vectors.js";

const SOURCE = { url: "ws://gateway:1/live", app: "live", name: "test?x=1" };
const CONTROL = 2;
const DATA = 3;
const AUDIO = 4;
const VIDEO = 5;

/** A conversation, and the gateway's end of it played by hand. */
class Talk {
	now = 0;
	session;
	conversation;
	/** @type {import("../../../player/conversation.js").ConversationEvent[]} */
	events = [];
	/** What the viewer said: commands as `flow: values`, and the flows it opened. */
	/** @type {unknown[]} */
	said = [];

	/**
	 * @param {PipeSession} [session]
	 * @param {string} [format]
	 * @param {import("../../../player/source.js").Source} [source]
	 */
	constructor(session = new PipeSession(0, { pingIntervalMs: Infinity }), format, source = SOURCE) {
		this.session = session;
		this.conversation = new Conversation(session, source, format);
	}

	start() {
		this.conversation.start();
		this.#drain();
		this.send({ type: "open", flow: CONTROL, answers: 0, metadata: encodeMetadata(0) });
		return this;
	}

	startPlaying() {
		this.start();
		this.command(CONTROL, "_result", 1, null, { code: "NetConnection.Connect.Success" });
		this.command(CONTROL, "_result", 2, null, 7);
		for (const flow of [DATA, AUDIO, VIDEO]) this.send({ type: "open", flow, answers: 0, metadata: encodeMetadata(7) });
		return this;
	}

	/** @param {import("../../../player/wire/frame.js").Frame} frame */
	send(frame) {
		this.session.handleMessage(this.now, encodeFrame(frame));
		this.#drain();
	}

	/**
	 * @param {number} flow
	 * @param {Uint8Array} payload
	 */
	message(flow, payload) {
		this.send({ type: "data", flow, more: false, payload });
	}

	/**
	 * @param {number} flow
	 * @param {string} name
	 * @param {number} transaction
	 * @param {...any} rest
	 */
	command(flow, name, transaction, ...rest) {
		this.message(flow, encodeCommand(name, transaction, ...rest));
	}

	/**
	 * @param {string} code
	 * @param {object} [members]
	 */
	status(code, members) {
		this.command(DATA, "onStatus", 0, null, { level: "status", code, ...members });
	}

	/** @param {number} ms */
	wait(ms) {
		this.now += ms;
		this.conversation.handleTimeout(this.now);
		this.#drain();
	}

	/** @param {...string} types */
	kinds(...types) {
		return this.events.map(({ type }) => type).filter((type) => types.length === 0 || types.includes(type));
	}

	drain() {
		this.#drain();
	}

	#drain() {
		this.conversation.handleSession(this.now);
		for (let out = this.session.pollTransmit(); out; out = this.session.pollTransmit()) {
			const frame = decodeFrame(out);
			if (frame?.type === "open") this.said.push({ opens: decodeMetadata(frame.metadata), answers: frame.answers });
			if (frame?.type === "data") this.said.push(decodeValues(decodeMessage(frame.payload)));
			if (frame?.type === "exception") this.said.push({ rejects: frame.flow });
		}
		for (let event = this.conversation.pollEvent(); event; event = this.conversation.pollEvent()) this.events.push(event);
	}
}

/** A session without pings. */
class Unmeasured extends PipeSession {
	get ping() {
		return undefined;
	}
}

/** @param {unknown} value */
const plain = (value) => JSON.parse(JSON.stringify(value));

/** @param {number} id */
const sync = (id) => encodeMessage({ type: 4, timestamp: 0, body: bytes(`0022 0000000${id} 00000002`) });

/** @param {number} timestamp */
const audio = (timestamp) => encodeMessage({ type: 8, timestamp, body: bytes("af01 2233") });

test("connect, createStream and play follow each other", () => {
	const talk = new Talk().start();
	assert.deepEqual(plain(talk.said), [
		{ opens: 0 },
		["connect", 1, { app: "live", tcUrl: "ws://gateway:1/live", objectEncoding: 0 }],
	]);
	talk.command(CONTROL, "_result", 1, null, { code: "NetConnection.Connect.Success" });
	assert.deepEqual(plain(talk.said.at(-1)), ["createStream", 2, null]);
	talk.command(CONTROL, "_result", 2, null, 7);
	assert.deepEqual(plain(talk.said.slice(-2)), [{ opens: 7, answers: CONTROL }, ["play", 0, null, "test?x=1"]]);
});

test("a credential goes with connect and nowhere else", () => {
	const talk = new Talk(undefined, undefined, { ...SOURCE, token: "secret" }).start();
	assert.equal(plain(talk.said)[1][2].token, "secret");
	talk.command(CONTROL, "_result", 1, null, { code: "NetConnection.Connect.Success" });
	talk.command(CONTROL, "_result", 2, null, 7);
	assert.ok(!JSON.stringify(plain(talk.said.slice(2))).includes("secret"));
});

test("an address's credential is no part of the name", () => {
	const source = parseSource("/watch/live/film?token=a%2Fb&x=1", "http://host:4446/");
	assert.deepEqual(source, { url: "ws://host:4446/live", app: "live", name: "film?x=1", token: "a/b" });
});

test("Play.Start carries the target delay", () => {
	const talk = new Talk().startPlaying();
	talk.status("NetStream.Play.Start", { targetDelay: 250 });
	assert.deepEqual(talk.events.at(-1), { type: "started", targetDelayMs: 250 });
});

test("publishers come and go", () => {
	const talk = new Talk().startPlaying();
	for (const code of ["StreamNotFound", "PublishNotify", "UnpublishNotify", "PublishNotify"]) talk.status(`NetStream.Play.${code}`);
	assert.deepEqual(talk.kinds("waiting", "published", "unpublished"), ["waiting", "published", "unpublished", "published"]);
});

test("media comes as units", () => {
	const talk = new Talk().startPlaying();
	talk.message(AUDIO, audio(40));
	const [event] = talk.events.filter(({ type }) => type === "unit");
	assert.ok(event?.type === "unit");
	assert.deepEqual([event.unit.track, event.unit.kind, event.unit.timestamp], ["audio", "key", 40]);
});

test("metadata comes as an object", () => {
	const talk = new Talk().startPlaying();
	talk.message(DATA, bytes(frames.find(({ meaning }) => meaning.includes('["onMetaData"'))?.hex.slice(4) ?? ""));
	const event = talk.events.find(({ type }) => type === "metadata");
	assert.ok(event?.type === "metadata" && event.metadata.width);
});

test("a gap in video is told from one in audio", () => {
	const talk = new Talk().startPlaying();
	talk.message(VIDEO, encodeMessage({ type: 9, timestamp: 0, body: bytes("1701000000 00000001") }));
	talk.send({ type: "abandon", flow: AUDIO, messages: 2 });
	talk.send({ type: "abandon", flow: VIDEO, messages: 3 });
	assert.deepEqual(
		talk.events.filter(({ type }) => type === "gap"),
		[
			{ type: "gap", video: false, messages: 2 },
			{ type: "gap", video: true, messages: 3 },
		],
	);
});

test("flows that are synchronized wait for each other", () => {
	const talk = new Talk().startPlaying();
	talk.message(DATA, sync(1));
	talk.status("NetStream.Play.UnpublishNotify");
	assert.deepEqual(talk.kinds("unpublished"), []);
	talk.message(AUDIO, audio(1));
	talk.message(AUDIO, sync(1));
	assert.deepEqual(talk.kinds("unit", "unpublished"), ["unit", "unpublished"]);
});

test("one synchronization after the other keeps the order", () => {
	const talk = new Talk().startPlaying();
	talk.message(AUDIO, sync(1));
	talk.message(AUDIO, sync(2));
	talk.message(AUDIO, audio(9));
	talk.message(DATA, sync(1));
	assert.deepEqual(talk.kinds("unit", "unpublished"), []);
	talk.status("NetStream.Play.UnpublishNotify");
	talk.message(DATA, sync(2));
	assert.deepEqual(talk.kinds("unit", "unpublished"), ["unpublished", "unit"]);
});

test("a synchronization on one flow alone does not stop it for good", () => {
	const talk = new Talk().startPlaying();
	talk.message(AUDIO, sync(1));
	talk.message(AUDIO, audio(1));
	assert.deepEqual(talk.kinds("unit"), []);
	talk.wait(talk.conversation.deadline);
	assert.deepEqual(talk.kinds("unit"), ["unit"]);
});

test("pause and receiveVideo are commands on the stream's flow", () => {
	const talk = new Talk().startPlaying();
	talk.conversation.pause(true);
	talk.conversation.receiveVideo(false);
	talk.conversation.receiveAudio(false);
	talk.drain();
	assert.deepEqual(plain(talk.said.slice(-3)), [
		["pause", 0, null, true],
		["receiveVideo", 0, null, false],
		["receiveAudio", 0, null, false],
	]);
});

test("flows of other streams, and plain ones, are rejected", () => {
	const talk = new Talk().startPlaying();
	talk.send({ type: "open", flow: 8, answers: 0, metadata: encodeMetadata(9) });
	talk.send({ type: "open", flow: 9, metadata: encodeMetadata(7) });
	talk.send({ type: "open", flow: 10, answers: 0, metadata: bytes("ff") });
	assert.deepEqual(talk.said.slice(-3), [{ rejects: 8 }, { rejects: 9 }, { rejects: 10 }]);
});

test("a refusal ends it with the gateway's words", () => {
	const talk = new Talk().start();
	talk.command(CONTROL, "_error", 1, null, { level: "error", code: "NetConnection.Connect.Rejected", description: "not you" });
	assert.deepEqual(talk.events.at(-1), { type: "over", reason: "not you" });
});

test("the closing of the control flow ends it, once", () => {
	const talk = new Talk().startPlaying();
	talk.send({ type: "close", flow: CONTROL });
	talk.send({ type: "exception", flow: 0, reason: 0 });
	assert.deepEqual(talk.kinds("over"), ["over"]);
});

test("commands without values are nothing", () => {
	const talk = new Talk().startPlaying();
	const before = talk.events.length;
	talk.message(DATA, bytes("1400000000"));
	talk.message(CONTROL, bytes("1400000000 020007 5f726573756c74"));
	talk.message(DATA, bytes("1400000000 020008 6f6e537461747573"));
	assert.equal(talk.events.length, before);
});

test("where the session cannot measure, calls for the time do, and any answer will do", () => {
	const talk = new Talk(new Unmeasured(0, { pingIntervalMs: Infinity })).startPlaying();
	assert.equal(talk.conversation.deadline, 0);
	talk.wait(0);
	assert.deepEqual(plain(talk.said.at(-1)), ["time", 1001, null]);
	talk.now += 40;
	talk.command(CONTROL, "_result", 1001, null, 1234);
	assert.equal(talk.conversation.rtt, 40);
	talk.wait(400);
	assert.deepEqual(plain(talk.said.at(-1)), ["time", 1002, null]);
	talk.now += 40;
	talk.command(CONTROL, "_error", 1002, null, { level: "error", code: "NetConnection.Call.Failed" });
	assert.equal(talk.conversation.rtt, 40);
	assert.deepEqual(talk.kinds("over", "status"), []);
});

test("a gateway that does not answer such a call and sends nothing has fallen silent", () => {
	const talk = new Talk(new Unmeasured(0, { pingIntervalMs: Infinity })).startPlaying();
	talk.wait(0);
	talk.wait(SILENCE_MS - 1);
	assert.deepEqual(talk.kinds("over"), []);
	talk.wait(1);
	assert.deepEqual(talk.kinds("over"), ["over"]);
});

test("fragmented MP4 is asked for with the name, and comes on flows of its own kind", () => {
	const talk = new Talk(undefined, "fmp4").start();
	talk.command(CONTROL, "_result", 1, null, { code: "NetConnection.Connect.Success" });
	talk.command(CONTROL, "_result", 2, null, 7);
	assert.deepEqual(plain(talk.said.at(-1)), ["play", 0, null, "test?x=1&format=fmp4"]);
	talk.send({ type: "open", flow: VIDEO, answers: 0, metadata: bytes("544c56 01 07") });
	talk.send({ type: "open", flow: AUDIO, answers: 0, metadata: bytes("544c56 02 08") });
	talk.message(VIDEO, bytes("03 00000010 0000000000000002 0000000000001388 02 00000001 aa"));
	assert.deepEqual(talk.events.map((event) => event.type === "tlv" && event.message.type), ["keyframe", "segment"]);
	assert.deepEqual(plain(talk.said.at(-1)), { rejects: AUDIO }, "of another stream");
});
