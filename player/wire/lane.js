// @ts-check
/**
 * Lanes: flows laid onto unidirectional streams of WebTransport. Bytes ↔ values; what both sides must do is told where it is specified.
 *
 * ```
 *  control lane   00 │ length record │ length record │ …
 *  group lane     01 flow lane first preambleLength preamble │ skipped length message │ … FIN
 * ```
 *
 * Defined by: the gateway's `src/wire/lane.rs`.
 * @module
 */

import { FrameType, decodeFrame, encodeFrame } from "./frame.js";
import { Malformed, decodeVlu, pushVlu } from "./vlu.js";

/** First byte of a lane. */
export const LaneKind = Object.freeze({ CONTROL: 0x00, GROUP: 0x01 });

/** What a lane is reset or stopped for. */
export const LaneCode = Object.freeze({
	/** The session ends. */
	CLOSED: 0,
	/** What is left of the group is too late to be of use. */
	ABANDONED: 1,
	/** A newer group is being handed up. */
	SUPERSEDED: 2,
	/** The flow is not wanted, or the lane's kind is not known. */
	REJECTED: 3,
});

/** Longest message, in bytes: a peer that never ends one would otherwise fill the memory. */
export const MAX_MESSAGE_BYTES = 16 << 20;
/** Longest record, in bytes. Metadata and reasons are a few words. */
export const MAX_RECORD_BYTES = 4096;
/** Longest preamble, in bytes: decoder configurations are some hundred. */
export const MAX_PREAMBLE_BYTES = 16 << 10;
/** Longest number, in bytes: what 64 bits take. One without an end would otherwise fill the memory. */
const MAX_NUMBER_BYTES = 10;

/**
 * A record of the control lane. Openings and exceptions are as in RTWebSocket. `givenUp`: the lane was reset, perhaps
 * before its header arrived. `lanes` and `messages`: how many the flow had, given up or not.
 *
 * @typedef {{ type: "open", flow: number, answers?: number, metadata: Uint8Array }
 *   | { type: "givenUp", flow: number, lane: number }
 *   | { type: "close", flow: number, lanes: number, messages: number }
 *   | { type: "exception", flow: number, reason?: number, text?: string }} LaneRecord
 */

/**
 * What a lane holds, one after the other. `first` is the number of the flow's message that would be the lane's first,
 * `skipped` how many were abandoned before a message.
 *
 * @typedef {{ type: "control" }
 *   | { type: "record", bytes: Uint8Array }
 *   | { type: "group", flow: number, lane: number, first: number, preamble: Uint8Array }
 *   | { type: "message", skipped: number, payload: Uint8Array }
 *   | { type: "unknown" }} LaneItem
 */

/**
 * Reads a record.
 *
 * @param {Uint8Array} bytes a whole record, without its length
 * @returns {LaneRecord | undefined} nothing for an unknown one, which is to be skipped
 * @throws {Malformed} when a field is cut short
 */
export function decodeRecord(bytes) {
	if (bytes[0] === FrameType.ABANDON) {
		const [flow, lane] = decodeVlus(bytes, 2);
		return { type: "givenUp", flow, lane };
	}
	if (bytes[0] === FrameType.CLOSE) {
		const [flow, lanes, messages] = decodeVlus(bytes, 3);
		return { type: "close", flow, lanes, messages };
	}
	const frame = decodeFrame(bytes);
	if (frame?.type === "exception" && frame.reason === undefined) throw new Malformed("an exception without a reason");
	return frame?.type === "open" || frame?.type === "exception" ? frame : undefined;
}

/**
 * Writes a record, with its length.
 *
 * @param {LaneRecord} record
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeRecord(record) {
	/** @type {number[]} */
	const bytes = [];
	if (record.type === "givenUp") {
		bytes.push(FrameType.ABANDON);
		for (const number of [record.flow, record.lane]) pushVlu(bytes, number);
	} else if (record.type === "close") {
		bytes.push(FrameType.CLOSE);
		for (const number of [record.flow, record.lanes, record.messages]) pushVlu(bytes, number);
	} else {
		bytes.push(...encodeFrame(record.type === "exception" ? { reason: 0, ...record } : record));
	}
	/** @type {number[]} */
	const length = [];
	pushVlu(length, bytes.length);
	return Uint8Array.from([...length, ...bytes]);
}

/**
 * @param {Uint8Array} bytes a record
 * @param {number} count of its numbers
 */
function decodeVlus(bytes, count) {
	const numbers = [];
	for (let at = 1; numbers.length < count; ) {
		const { value, end } = decodeVlu(bytes, at);
		numbers.push(value);
		at = end;
	}
	return numbers;
}

/** What the control lane begins with. @returns {Uint8Array<ArrayBuffer>} */
export function encodeControlHeader() {
	return Uint8Array.of(LaneKind.CONTROL);
}

/**
 * Writes what a group lane begins with.
 *
 * @param {{ flow: number, lane: number, first: number, preamble?: Uint8Array }} header
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeGroupHeader({ flow, lane, first, preamble = new Uint8Array() }) {
	/** @type {number[]} */
	const bytes = [LaneKind.GROUP];
	for (const number of [flow, lane, first, preamble.length]) pushVlu(bytes, number);
	return Uint8Array.from([...bytes, ...preamble]);
}

/**
 * Writes a message of a group lane.
 *
 * @param {number} skipped
 * @param {Uint8Array} payload
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeLaneMessage(skipped, payload) {
	/** @type {number[]} */
	const head = [];
	pushVlu(head, skipped);
	pushVlu(head, payload.length);
	const bytes = new Uint8Array(head.length + payload.length);
	bytes.set(head);
	bytes.set(payload, head.length);
	return bytes;
}

/** Reads one lane, whose bytes come in pieces. */
export class LaneDecoder {
	/** @type {"kind" | "record" | "header" | "message" | "unknown"} */
	#expects = "kind";
	#input = new Input();

	/** @param {Uint8Array} bytes the next; kept by reference */
	push(bytes) {
		this.#input.push(bytes);
	}

	/**
	 * @returns {LaneItem | undefined} the next item, once it's there as a whole
	 * @throws {Malformed} when it is too long
	 */
	poll() {
		if (this.#expects === "kind") return this.#pollKind();
		if (this.#expects === "unknown") this.#input.clear();
		const fields = { record: 0, header: 3, message: 1, unknown: 0 }[this.#expects];
		const head = this.#input.peekVlus(fields + 1);
		if (!head) return undefined;
		const { numbers, bytes: headBytes } = head;
		const length = numbers[fields];
		const most = { record: MAX_RECORD_BYTES, header: MAX_PREAMBLE_BYTES, message: MAX_MESSAGE_BYTES, unknown: 0 }[this.#expects];
		if (length > most) throw new Malformed(`a ${this.#expects} is too long`);
		if (this.#input.length < headBytes + length) return undefined;
		this.#input.take(headBytes);
		const body = this.#input.take(length);
		if (this.#expects === "record") return { type: "record", bytes: body };
		if (this.#expects === "message") return { type: "message", skipped: numbers[0], payload: body };
		this.#expects = "message";
		return { type: "group", flow: numbers[0], lane: numbers[1], first: numbers[2], preamble: body };
	}

	/** Bytes that are here and not yet part of an item. */
	get bufferedBytes() {
		return this.#input.length;
	}

	/** @returns {LaneItem | undefined} */
	#pollKind() {
		if (this.#input.length === 0) return undefined;
		const [kind] = this.#input.take(1);
		if (kind === LaneKind.CONTROL) {
			this.#expects = "record";
			return { type: "control" };
		}
		if (kind === LaneKind.GROUP) {
			this.#expects = "header";
			return this.poll();
		}
		this.#expects = "unknown";
		return { type: "unknown" };
	}
}

/** Bytes in the order of their coming, copied once at most. */
class Input {
	/** @type {Uint8Array[]} */
	#chunks = [];
	length = 0;

	/** @param {Uint8Array} bytes */
	push(bytes) {
		if (bytes.length > 0) this.#chunks.push(bytes);
		this.length += bytes.length;
	}

	/**
	 * The numbers at the front, and how many bytes they are.
	 *
	 * @param {number} count
	 * @returns {{ numbers: number[], bytes: number } | undefined} nothing when they have not come as a whole
	 */
	peekVlus(count) {
		const front = this.#peek(count * MAX_NUMBER_BYTES);
		const numbers = [];
		let at = 0;
		while (numbers.length < count) {
			let end = at;
			while (front[end] >= 0x80) end++;
			if (end - at >= MAX_NUMBER_BYTES) throw new Malformed("a number is too long");
			if (end >= front.length) return undefined;
			numbers.push(decodeVlu(front, at).value);
			at = end + 1;
		}
		return { numbers, bytes: at };
	}

	/**
	 * Takes bytes off the front; there must be so many.
	 *
	 * @param {number} count
	 */
	take(count) {
		const taken = this.#peek(count);
		this.length -= count;
		let rest = count;
		while (rest > 0) {
			const [chunk] = this.#chunks;
			if (chunk.length > rest) this.#chunks[0] = chunk.subarray(rest);
			else this.#chunks.shift();
			rest -= Math.min(chunk.length, rest);
		}
		return taken;
	}

	clear() {
		this.#chunks = [];
		this.length = 0;
	}

	/** @param {number} most */
	#peek(most) {
		const [first] = this.#chunks;
		if (!first) return new Uint8Array();
		if (first.length >= most) return first.subarray(0, most);
		const bytes = new Uint8Array(Math.min(most, this.length));
		let at = 0;
		for (const chunk of this.#chunks) {
			if (at === bytes.length) break;
			const part = chunk.subarray(0, bytes.length - at);
			bytes.set(part, at);
			at += part.length;
		}
		return bytes;
	}
}
