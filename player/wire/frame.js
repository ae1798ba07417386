// @ts-check
/**
 * The twelve RTWebSocket messages: bytes ↔ values, no state.
 *
 * The first byte is the type. Flow numbers belong to whoever sends on the flow, so acknowledgements, close
 * acknowledgements, exceptions and return associations speak of the other side's numbers.
 *
 * Defined by: RTWebSocket (zenomt/rtwebsocket, protocol description).
 * @module
 */

import { Malformed, decodeVlu, pushVlu } from "./vlu.js";

/** First byte of each message. */
export const FrameType = Object.freeze({
	PING: 0x01,
	PING_REPLY: 0x41,
	ACK_WINDOW: 0x0a,
	OPEN: 0x10,
	OPEN_RETURN: 0x30,
	DATA_LAST: 0x1d,
	DATA_MORE: 0x3d,
	ABANDON: 0x1a,
	CLOSE: 0x1c,
	ACK: 0x5a,
	CLOSE_ACK: 0x5c,
	EXCEPTION: 0x5e,
});

/**
 * One message. `answers` is the flow of the receiver's that a return flow belongs to; `delta` and `advertisement`
 * count bytes of whole data messages (type, flow number and payload).
 *
 * @typedef {{ type: "ping" | "pingReply", payload: Uint8Array }
 *   | { type: "ackWindow", bytes: number }
 *   | { type: "open", flow: number, answers?: number, metadata: Uint8Array }
 *   | { type: "data", flow: number, more: boolean, payload: Uint8Array }
 *   | { type: "abandon", flow: number, messages: number }
 *   | { type: "close" | "closeAck", flow: number }
 *   | { type: "ack", flow: number, delta: number, advertisement: number }
 *   | { type: "exception", flow: number, reason?: number, text?: string }} Frame
 */

/**
 * Reads one message.
 *
 * @param {Uint8Array} bytes a whole message; payloads are views into it
 * @returns {Frame | undefined} nothing for an empty message or an unknown type, which are to be ignored
 * @throws {Malformed} when a field is cut short
 */
export function decodeFrame(bytes) {
	const reader = new Reader(bytes, 1);
	switch (bytes[0]) {
		case FrameType.PING:
			return { type: "ping", payload: reader.rest() };
		case FrameType.PING_REPLY:
			return { type: "pingReply", payload: reader.rest() };
		case FrameType.ACK_WINDOW:
			return { type: "ackWindow", bytes: reader.vlu() };
		case FrameType.OPEN:
			return { type: "open", flow: reader.vlu(), metadata: reader.rest() };
		case FrameType.OPEN_RETURN:
			return { type: "open", flow: reader.vlu(), answers: reader.vlu(), metadata: reader.rest() };
		case FrameType.DATA_LAST:
			return { type: "data", flow: reader.vlu(), more: false, payload: reader.rest() };
		case FrameType.DATA_MORE:
			return { type: "data", flow: reader.vlu(), more: true, payload: reader.rest() };
		case FrameType.ABANDON:
			return { type: "abandon", flow: reader.vlu(), messages: 1 + (reader.optionalVlu() ?? 0) };
		case FrameType.CLOSE:
			return { type: "close", flow: reader.vlu() };
		case FrameType.ACK:
			return { type: "ack", flow: reader.vlu(), delta: reader.vlu(), advertisement: reader.vlu() };
		case FrameType.CLOSE_ACK:
			return { type: "closeAck", flow: reader.vlu() };
		case FrameType.EXCEPTION:
			return { type: "exception", flow: reader.vlu(), reason: reader.optionalVlu(), text: reader.optionalText() };
		default:
			return undefined;
	}
}

/**
 * Writes one message.
 *
 * @param {Frame} frame
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeFrame(frame) {
	switch (frame.type) {
		case "ping":
			return join([FrameType.PING], frame.payload);
		case "pingReply":
			return join([FrameType.PING_REPLY], frame.payload);
		case "ackWindow":
			return join(head(FrameType.ACK_WINDOW, frame.bytes));
		case "open":
			if (frame.answers === undefined) return join(head(FrameType.OPEN, frame.flow), frame.metadata);
			return join(head(FrameType.OPEN_RETURN, frame.flow, frame.answers), frame.metadata);
		case "data":
			return join(head(frame.more ? FrameType.DATA_MORE : FrameType.DATA_LAST, frame.flow), frame.payload);
		case "abandon":
			if (frame.messages === 1) return join(head(FrameType.ABANDON, frame.flow));
			return join(head(FrameType.ABANDON, frame.flow, frame.messages - 1));
		case "close":
			return join(head(FrameType.CLOSE, frame.flow));
		case "ack":
			return join(head(FrameType.ACK, frame.flow, frame.delta, frame.advertisement));
		case "closeAck":
			return join(head(FrameType.CLOSE_ACK, frame.flow));
		case "exception":
			if (frame.reason === undefined) return join(head(FrameType.EXCEPTION, frame.flow));
			return join(head(FrameType.EXCEPTION, frame.flow, frame.reason), new TextEncoder().encode(frame.text ?? ""));
	}
}

/**
 * @param {number} type
 * @param {...number} numbers
 */
function head(type, ...numbers) {
	const bytes = [type];
	for (const number of numbers) pushVlu(bytes, number);
	return bytes;
}

/**
 * @param {number[]} front
 * @param {Uint8Array} [body]
 */
function join(front, body) {
	const bytes = new Uint8Array(front.length + (body?.length ?? 0));
	bytes.set(front);
	if (body) bytes.set(body, front.length);
	return bytes;
}

class Reader {
	#bytes;
	#at;

	/**
	 * @param {Uint8Array} bytes
	 * @param {number} at
	 */
	constructor(bytes, at) {
		this.#bytes = bytes;
		this.#at = at;
	}

	/** @returns {number} */
	vlu() {
		const { value, end } = decodeVlu(this.#bytes, this.#at);
		this.#at = end;
		return value;
	}

	/** @returns {number | undefined} */
	optionalVlu() {
		return this.#at < this.#bytes.length ? this.vlu() : undefined;
	}

	/** @returns {string | undefined} */
	optionalText() {
		return this.#at < this.#bytes.length ? new TextDecoder().decode(this.rest()) : undefined;
	}

	/** @returns {Uint8Array} */
	rest() {
		return this.#bytes.subarray(this.#at);
	}
}

export { Malformed };
