// @ts-check
/**
 * RTMP audio and video bodies → units of a track.
 *
 * Defined by: Adobe FLV 10.1, §E.4.2, §E.4.3.
 * @module
 */

import { MessageType } from "../wire/tc.js";

const FRAME_KEY = 1;
const FRAME_GENERATED_KEY = 4;
const FRAME_COMMAND = 5;
const VIDEO_AVC = 7;
const VIDEO_ENHANCED = 0x80;
const AUDIO_AAC = 10;

const PACKET_CONFIGURATION = 0;
const PACKET_FRAME = 1;
const PACKET_END = 2;

/**
 * What a unit means to who decodes it: `end` is the end of the video sequence, `unsupported` is a codec this player has no name for.
 *
 * @typedef {"configuration" | "key" | "delta" | "end" | "unsupported"} UnitKind
 */

/**
 * One access unit, or what concerns those that follow. `timestamp` is its decode time in milliseconds modulo 2^32,
 * `composition` its presentation time minus that.
 *
 * @typedef {{ track: "audio" | "video", kind: UnitKind, timestamp: number, composition: number, payload: Uint8Array }} Unit
 */

/**
 * Reads an audio or video message.
 *
 * @param {import("../wire/tc.js").Message} message
 * @returns {Unit | undefined} nothing when it holds nothing to decode
 */
export function decodeUnit({ type, timestamp, body }) {
	if (body.length === 0) return undefined;
	if (type === MessageType.AUDIO) return decodeAudio(timestamp, body);
	if (type === MessageType.VIDEO) return decodeVideo(timestamp, body);
	return undefined;
}

/**
 * @param {number} timestamp
 * @param {Uint8Array} body
 * @returns {Unit | undefined}
 */
function decodeAudio(timestamp, body) {
	const unit = { track: /** @type {const} */ ("audio"), timestamp, composition: 0 };
	if (body[0] >> 4 !== AUDIO_AAC) return { ...unit, kind: "unsupported", payload: body };
	// An empty frame is how some encoders say that they have none.
	if (body.length < 3) return undefined;
	const payload = body.subarray(2);
	if (body[1] === PACKET_CONFIGURATION) return { ...unit, kind: "configuration", payload };
	return body[1] === PACKET_FRAME ? { ...unit, kind: "key", payload } : undefined;
}

/**
 * @param {number} timestamp
 * @param {Uint8Array} body
 * @returns {Unit | undefined}
 */
function decodeVideo(timestamp, body) {
	const unit = { track: /** @type {const} */ ("video"), timestamp, composition: 0 };
	const frame = body[0] >> 4;
	if (body[0] & VIDEO_ENHANCED || (body[0] & 0x0f) !== VIDEO_AVC) return { ...unit, kind: "unsupported", payload: body };
	if (frame === FRAME_COMMAND || body.length < 5) return undefined;
	const payload = body.subarray(5);
	if (body[1] === PACKET_CONFIGURATION) return { ...unit, kind: "configuration", payload };
	if (body[1] === PACKET_END) return { ...unit, kind: "end", payload };
	if (body[1] !== PACKET_FRAME || payload.length === 0) return undefined;
	// Signed, 24 bits.
	const composition = ((body[2] << 24) | (body[3] << 16) | (body[4] << 8)) >> 8;
	const kind = frame === FRAME_KEY || frame === FRAME_GENERATED_KEY ? "key" : "delta";
	return { ...unit, kind, composition, payload };
}
