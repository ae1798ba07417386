// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeAmf, encodeAmf, MAX_DEPTH } from "../../../player/wire/amf0.js";
import { decodeFrame, encodeFrame } from "../../../player/wire/frame.js";
import { decodeFlowSync, decodeMessage, decodeMetadata, decodeValues, encodeCommand, encodeMetadata } from "../../../player/wire/tc.js";
import { decodeVlu, Malformed, pushVlu } from "../../../player/wire/vlu.js";
import { bytes, frames, hex, malformed, numbers, unknown } from "./vectors.js";

test("numbers are read as every genuine peer reads them", () => {
	for (const { name, hex, meaning } of numbers) {
		const value = Number(/(?:value|decodes to) (\d+)/.exec(meaning)?.[1] ?? Number.MAX_SAFE_INTEGER);
		assert.deepEqual(decodeVlu(bytes(hex), 0), { value, end: hex.length / 2 }, name);
	}
});

test("numbers are written in their shortest form", () => {
	for (const { name, hex: expected, meaning } of numbers.filter(({ meaning }) => meaning.includes("minimal encoding;"))) {
		/** @type {number[]} */
		const out = [];
		pushVlu(out, Number(/value (\d+)/.exec(meaning)?.[1]));
		assert.equal(hex(Uint8Array.from(out)), expected, name);
	}
});

test("a number that is cut short is refused", () => {
	assert.throws(() => decodeVlu(bytes("87ffff"), 0), Malformed);
	assert.throws(() => decodeVlu(bytes(""), 0), Malformed);
});

test("every genuine message survives being read and written", () => {
	assert.ok(frames.length > 300);
	for (const { name, hex: text } of frames) {
		const frame = decodeFrame(bytes(text));
		assert.ok(frame, name);
		assert.equal(hex(encodeFrame(frame)), text, name);
	}
});

test("every prefix of a message is read or refused", () => {
	for (const { hex: text } of frames) {
		const whole = bytes(text);
		for (let length = 0; length < Math.min(whole.length, 40); length++) {
			try {
				decodeFrame(whole.subarray(0, length));
			} catch (error) {
				assert.ok(error instanceof Malformed);
			}
		}
	}
});

test("unknown types and empty messages are nothing", () => {
	assert.equal(decodeFrame(bytes("")), undefined);
	assert.ok(unknown.length > 0);
	for (const { name, hex } of unknown) assert.equal(decodeFrame(bytes(hex)), undefined, name);
});

test("messages that are cut short are refused", () => {
	assert.ok(malformed.length > 0);
	for (const { name, hex } of malformed) assert.throws(() => decodeFrame(bytes(hex)), Malformed, name);
});

test("every genuine command survives being read and written", () => {
	let commands = 0;
	for (const { hex: text, meaning } of frames) {
		const [, fragment, message] = /frag=(\d+) bytes.*COMMAND\(AMF0\) .*len=(\d+)/.exec(meaning) ?? [];
		if (!fragment || Number(fragment) !== Number(message) + 5) continue;
		const frame = decodeFrame(bytes(text));
		if (frame?.type !== "data" || frame.more) continue;
		const { body } = decodeMessage(frame.payload);
		if (body.includes(0x08)) continue; // ECMA arrays are written as objects.
		assert.equal(hex(encodeAmf(...decodeAmf(body))), hex(body));
		commands++;
	}
	assert.ok(commands > 20, `${commands} commands`);
});

test("every prefix of a command is read or refused", () => {
	const command = encodeAmf("onStatus", 0, null, { code: "x", list: [1, true, new Date(5)], nothing: undefined });
	for (let length = 0; length < command.length; length++) {
		try {
			decodeAmf(command.subarray(0, length));
		} catch (error) {
			assert.ok(error instanceof Malformed);
		}
	}
});

test("values that nest too deep are refused", () => {
	/** @type {import("../../../player/wire/amf0.js").AmfValue} */
	let value = 1;
	for (let depth = 0; depth <= MAX_DEPTH; depth++) value = [value];
	const nested = encodeAmf(value);
	assert.throws(() => decodeAmf(nested), Malformed);
});

test("an array is no longer than its bytes", () => {
	assert.throws(() => decodeAmf(bytes("0affffffff05")), Malformed);
});

test("names in objects mean nothing to JS", () => {
	const [value] = decodeAmf(bytes("0300095f5f70726f746f5f5f020001780000 09"));
	assert.equal(Object.getPrototypeOf(value), null);
	assert.deepEqual(Object.keys(/** @type {object} */ (value)), ["__proto__"]);
});

test("an ECMA array ends at its marker, whatever its count", () => {
	const [value, next] = decodeAmf(bytes("08000000630001610101 000009 05"));
	assert.equal(/** @type {any} */ (value).a, true);
	assert.equal(next, null);
});

test("a flow's metadata names its stream", () => {
	assert.equal(hex(encodeMetadata(0)), "54430400");
	assert.equal(decodeMetadata(bytes("544305872c")), 940);
	for (const other of ["", "5443", "544300", "544304", "54430487", "58430400"]) assert.equal(decodeMetadata(bytes(other)), undefined, other);
});

test("a command is a header and AMF0", () => {
	const expected = frames.find(({ name }) => name === "live #9 DATA_LAST")?.hex.slice(4);
	assert.equal(hex(encodeCommand("createStream", 2, null)), expected);
});

test("AMF3 commands are AMF0 behind a zero", () => {
	const body = bytes("00 0200017a 003ff0000000000000");
	assert.deepEqual(decodeValues({ type: 17, timestamp: 0, body }), ["z", 1]);
});

test("FLOW_SYNC is told from other user control", () => {
	const sync = frames.find(({ meaning }) => meaning.includes("FLOW_SYNC(34) syncID=3"))?.hex.slice(4) ?? "";
	assert.deepEqual(decodeFlowSync(decodeMessage(bytes(sync))), { id: 3, count: 2 });
	assert.equal(decodeFlowSync(decodeMessage(bytes("0400000000000000000001"))), undefined);
});
