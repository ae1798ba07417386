// @ts-check
/**
 * The messages of the delivery format `fmp4`: type u8, length u32 big-endian, value.
 *
 * | what | specification |
 * |---|---|
 * | the bytes, and who sends which | the gateway's `src/wire/tlv.rs` |
 * @module
 */

import { Malformed, decodeVlu } from "./vlu.js";

/** Longest value, in bytes: a peer that claims more would otherwise fill the memory. */
export const MAX_VALUE_BYTES = 16 << 20;

const HEADER_LENGTH = 5;
const SIGNATURE = [0x54, 0x4c, 0x56];
const INIT = 1;
const SEGMENT = 2;
const KEYFRAME = 3;
const AUDIO = 4;
const METADATA = 5;
const CONTROL = 6;
const ACKNOWLEDGEMENT = 1;
/** The tracks of flows, by the byte in their metadata. */
const TRACKS = Object.freeze([undefined, "video", "audio"]);

/** @typedef {"audio" | "video"} Track */

/**
 * One message. An `init` of sound has no width; a `keyframe` says that the next segment of pictures starts a group.
 *
 * @typedef {{ type: "init", track: Track, width: number, height: number, codec: string, segment: Uint8Array }
 *   | { type: "segment", track: Track, segment: Uint8Array }
 *   | { type: "keyframe", group: bigint, decodeTime: bigint }
 *   | { type: "metadata", name: string, values: unknown[] }
 *   | { type: "unknown" }} TlvMessage
 */

/**
 * Reads the messages that a message of a flow, or of a WebSocket, consists of.
 *
 * @param {Uint8Array} bytes
 * @returns {TlvMessage[]} what they hold shares the memory
 * @throws {Malformed} when one is, or the last is cut
 */
export function decodeTlv(bytes) {
	const messages = [];
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	for (let at = 0; at < bytes.length; ) {
		if (at + HEADER_LENGTH > bytes.length) throw new Malformed("a message without a header");
		const length = view.getUint32(at + 1);
		const start = at + HEADER_LENGTH;
		at = start + length;
		if (length > MAX_VALUE_BYTES || at > bytes.length) throw new Malformed(`a message of ${length} bytes`);
		messages.push(decodeValue(bytes[start - HEADER_LENGTH], bytes.subarray(start, at)));
	}
	return messages;
}

/**
 * @param {number} type
 * @param {Uint8Array} value
 * @returns {TlvMessage}
 */
function decodeValue(type, value) {
	const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
	switch (type) {
		case INIT:
			return decodeInit(value, view);
		case SEGMENT:
			return { type: "segment", track: "video", segment: value };
		case KEYFRAME:
			if (value.length < 16) throw new Malformed("a key frame that is cut");
			return { type: "keyframe", group: view.getBigUint64(0), decodeTime: view.getBigUint64(8) };
		case AUDIO:
			return { type: "segment", track: "audio", segment: value };
		case METADATA:
			return decodeMetadata(value);
		default:
			return { type: "unknown" };
	}
}

/**
 * @param {Uint8Array} value
 * @param {DataView} view
 * @returns {TlvMessage}
 */
function decodeInit(value, view) {
	const end = value.length < 8 ? Infinity : 8 + view.getUint32(4);
	if (end > value.length) throw new Malformed("an initialization that is cut");
	const [width, height] = [view.getUint16(0), view.getUint16(2)];
	const codec = decodeText(value.subarray(8, end));
	return { type: "init", track: width === 0 ? "audio" : "video", width, height, codec, segment: value.subarray(end) };
}

/**
 * @param {Uint8Array} value
 * @returns {TlvMessage}
 */
function decodeMetadata(value) {
	try {
		const { name, values } = JSON.parse(decodeText(value));
		return { type: "metadata", name: String(name), values: Array.isArray(values) ? values : [] };
	} catch {
		throw new Malformed("metadata that is not JSON");
	}
}

/** @param {Uint8Array} bytes */
function decodeText(bytes) {
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch {
		throw new Malformed("text that is not UTF-8");
	}
}

/**
 * A CONTROL message that acknowledges all that has come.
 *
 * @param {number} count bytes, cumulative, with the headers
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeAcknowledgement(count) {
	const bytes = new Uint8Array(HEADER_LENGTH + 9);
	const view = new DataView(bytes.buffer);
	view.setUint8(0, CONTROL);
	view.setUint32(1, 9);
	view.setUint8(HEADER_LENGTH, ACKNOWLEDGEMENT);
	view.setBigUint64(HEADER_LENGTH + 1, BigInt(count));
	return bytes;
}

/**
 * Whose messages a flow carries.
 *
 * @param {Uint8Array} metadata of the flow
 * @returns {{ track: Track, stream: number } | undefined} nothing when it is another kind of flow's
 */
export function decodeFlowMetadata(metadata) {
	const track = /** @type {Track | undefined} */ (TRACKS[metadata[SIGNATURE.length]]);
	if (!track || SIGNATURE.some((byte, i) => byte !== metadata[i])) return undefined;
	try {
		return { track, stream: decodeVlu(metadata, SIGNATURE.length + 1).value };
	} catch {
		return undefined;
	}
}
