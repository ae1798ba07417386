// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { readDecodeTime, readTimescale } from "../../../player/media/fmp4.js";
import { TlvLink, streamAddress } from "../../../player/transport/tlv.js";
import { decodeFlowMetadata, decodeTlv, encodeAcknowledgement } from "../../../player/wire/tlv.js";
import { bytes, hex } from "./vectors.js";

// The bytes are those that the gateway's own tests ask for, in `src/wire/tlv.rs`.
const INIT = "01 00000010 0280 0168 00000004 61766331 6d6f6f76";
const KEYFRAME = "03 00000010 0000000000000002 0000000000001388";
const SEGMENT = "02 00000002 aabb";
const AUDIO = "04 00000001 cc";

/** @param {string} name @param {unknown[]} values */
const metadata = (name, ...values) => {
	const text = new TextEncoder().encode(JSON.stringify({ name, values }));
	return `05 ${text.length.toString(16).padStart(8, "0")} ${hex(text)}`;
};

/** @param {string} code */
const status = (code) => metadata("onStatus", null, { level: "status", code, targetDelay: 1000 });

test("messages are read as the gateway writes them", () => {
	const [init, keyframe, segment, audio] = decodeTlv(bytes(INIT + KEYFRAME + SEGMENT + AUDIO));
	assert.deepEqual(init, { type: "init", track: "video", width: 640, height: 360, codec: "avc1", segment: bytes("6d6f6f76") });
	assert.deepEqual(keyframe, { type: "keyframe", group: 2n, decodeTime: 5000n });
	assert.deepEqual(segment, { type: "segment", track: "video", segment: bytes("aabb") });
	assert.deepEqual(audio, { type: "segment", track: "audio", segment: bytes("cc") });
	assert.deepEqual(decodeTlv(bytes(metadata("x", 1))), [{ type: "metadata", name: "x", values: [1] }]);
	assert.equal(hex(encodeAcknowledgement(258)), "0600000009010000000000000102");
});

test("a flow says whose messages it carries", () => {
	assert.deepEqual(decodeFlowMetadata(bytes("544c56 02 822c")), { track: "audio", stream: 300 });
	for (const other of ["5443 04 01", "544c56", "544c5601", "544c56 03 01"]) assert.equal(decodeFlowMetadata(bytes(other)), undefined, other);
});

test("every message that is cut is malformed, and what is not known is ignored", () => {
	for (const message of [INIT, KEYFRAME, SEGMENT, AUDIO, metadata("x")].map(bytes)) {
		for (let end = 1; end < message.length; end++) assert.throws(() => decodeTlv(message.subarray(0, end)), { name: "Malformed" });
	}
	for (const value of ["01 00000007 0280 0168 000000", "01 00000008 0280 0168 00000001", "03 00000001 00", "05 00000001 7b"]) {
		assert.throws(() => decodeTlv(bytes(value)), { name: "Malformed" }, value);
	}
	for (const unknown of ["07 00000001 3f", "06 00000002 023f"]) assert.deepEqual(decodeTlv(bytes(unknown)), [{ type: "unknown" }]);
});

/** @param {string} name @param {string} body */
const box = (name, body) => {
	const content = hex(bytes(body));
	return (8 + content.length / 2).toString(16).padStart(8, "0") + Buffer.from(name).toString("hex") + content;
};

test("times are found where they are in fragmented MP4", () => {
	const mdhd = box("mdhd", "00000000 00000000 00000000 0000bb80 00000000 55c40000");
	const init = bytes(box("ftyp", "69736f36") + box("moov", box("mvhd", "00") + box("trak", box("tkhd", "") + box("mdia", mdhd))));
	assert.equal(readTimescale(init), 48000);
	const segment = (/** @type {string} */ tfdt) => bytes(box("moof", box("mfhd", "") + box("traf", box("tfhd", "") + box("tfdt", tfdt))) + box("mdat", "00"));
	assert.equal(readDecodeTime(segment("01000000 0000000100000000")), 2 ** 32);
	assert.equal(readDecodeTime(segment("00000000 00000009")), 9);
	for (const whole of [init, segment("01000000 0000000100000000")]) {
		for (let end = 0; end < whole.length - 9; end++) {
			assert.equal(readTimescale(whole.subarray(0, end)), undefined);
			assert.equal(readDecodeTime(whole.subarray(0, end)), undefined);
		}
	}
});

/** A link, and its sockets played by hand. */
class Talk {
	/** @type {{ url: string, listener: import("../../../player/transport/socket.js").SocketListener, sent: string[], isClosed: boolean }[]} */
	sockets = [];
	/** @type {string[]} */
	events = [];
	abort = new AbortController();
	link;

	/** @param {{ acknowledges: boolean }} dialect */
	constructor(dialect = { acknowledges: true }) {
		const open = (/** @type {string} */ url, /** @type {any} */ listener) => {
			const socket = { url, listener, sent: /** @type {string[]} */ ([]), isClosed: false };
			this.sockets.push(socket);
			return { send: (/** @type {Uint8Array} */ bytes) => socket.sent.push(hex(bytes)), close: () => (socket.isClosed = true) };
		};
		const listener = {
			handleEvent: (/** @type {number} */ _now, /** @type {any} */ event) => this.events.push(event.type === "tlv" ? event.message.type : event.type),
			handleClosed: (/** @type {string} */ reason) => this.events.push(`closed: ${reason}`),
		};
		this.link = new TlvLink({ url: "wss://h:1/live", app: "live", name: "a b?x=1" }, listener, this.abort.signal, open, dialect);
	}

	get socket() {
		return this.sockets[this.sockets.length - 1];
	}

	/** @param {Uint8Array} message */
	receive(message) {
		this.socket.listener.handleMessage(message);
	}
}

test("a stream without flows is at its path", () => {
	assert.equal(streamAddress({ url: "wss://h:1/live", app: "live", name: "a b?x=1" }), "wss://h:1/ws/live/a%20b?x=1");
	assert.equal(streamAddress({ url: "ws://h/live", app: "live", name: "n" }), "ws://h/ws/live/n");
	assert.equal(streamAddress({ url: "ws://h/live", app: "live", name: "n", token: "a&b" }), "ws://h/ws/live/n?token=a%26b");
});

test("what the gateway says without flows is what it says with them", () => {
	const talk = new Talk();
	talk.receive(bytes(status("NetStream.Play.Start")));
	talk.receive(bytes(metadata("onMetaData", { width: 1 })));
	talk.receive(bytes(INIT));
	talk.receive(bytes(KEYFRAME + SEGMENT));
	talk.receive(bytes(status("NetStream.Play.UnpublishNotify")));
	talk.receive(bytes(metadata("onStatus", null, { level: "error", code: "x", description: "no" })));
	assert.deepEqual(talk.events, ["started", "metadata", "init", "keyframe", "segment", "unpublished", "closed: no"]);
	assert.ok(talk.socket.isClosed);
});

test("what has come is acknowledged in time, where it is to be", () => {
	const segment = bytes(`02 000186a0 ${"00".repeat(100_000)}`);
	for (const [acknowledges, expected] of /** @type {const} */ ([[true, [hex(encodeAcknowledgement(300_015)), hex(encodeAcknowledgement(600_030))]], [false, []]])) {
		const talk = new Talk({ acknowledges });
		for (let i = 0; i < 7; i++) talk.receive(segment);
		assert.deepEqual(talk.socket.sent, expected);
		talk.abort.abort();
	}
});

test("a pause closes the connection, and what it still says is nothing", () => {
	const talk = new Talk();
	talk.link.pause(true);
	assert.ok(talk.socket.isClosed);
	talk.receive(bytes(SEGMENT));
	talk.socket.listener.handleClosed("closed");
	assert.deepEqual(talk.events, []);
	talk.link.pause(false);
	assert.equal(talk.sockets.length, 2);
	talk.receive(bytes(SEGMENT));
	assert.deepEqual(talk.events, ["segment"]);
});

test("a gateway that misbehaves, or goes, is told of once", () => {
	const talk = new Talk();
	talk.receive(bytes("02 00000005 00"));
	talk.socket.listener.handleClosed("again");
	assert.equal(talk.events.length, 1);
	assert.match(talk.events[0], /^closed: Malformed/);
});
