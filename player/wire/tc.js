// @ts-check
/**
 * TC: RTMP messages over flows.
 *
 * A flow's metadata says which stream it belongs to, 0 being the control stream; a message is a type, a timestamp
 * and the body that RTMP would carry.
 *
 * | what | specification |
 * |---|---|
 * | flow metadata, message header | RFC 7425, §5 |
 * | message types, user control | Adobe RTMP 1.0, §6.1, §7.1 |
 * | FLOW_SYNC | RFC 7425, §5.3.3 |
 * @module
 */

import { decodeAmf, encodeAmf } from "./amf0.js";
import { Malformed, decodeVlu, pushVlu } from "./vlu.js";

/** First byte of a message. */
export const MessageType = Object.freeze({
	USER_CONTROL: 4,
	AUDIO: 8,
	VIDEO: 9,
	DATA_AMF3: 15,
	COMMAND_AMF3: 17,
	DATA: 18,
	COMMAND: 20,
});

/** First two bytes of a user control message's body. */
export const UserControl = Object.freeze({
	STREAM_BEGIN: 0,
	STREAM_EOF: 1,
	FLOW_SYNC: 34,
});

/** Names of commands. */
export const Command = Object.freeze({
	CONNECT: "connect",
	CREATE_STREAM: "createStream",
	PLAY: "play",
	PAUSE: "pause",
	RECEIVE_AUDIO: "receiveAudio",
	RECEIVE_VIDEO: "receiveVideo",
	/** Asks for the gateway's clock. */
	TIME: "time",
	RESULT: "_result",
	ERROR: "_error",
	STATUS: "onStatus",
});

/** Codes in the info object of an `onStatus` or of an answer. */
export const Status = Object.freeze({
	CONNECT_REJECTED: "NetConnection.Connect.Rejected",
	PLAY_FAILED: "NetStream.Play.Failed",
	CONNECT_SUCCESS: "NetConnection.Connect.Success",
	PLAY_RESET: "NetStream.Play.Reset",
	PLAY_START: "NetStream.Play.Start",
	PUBLISH_NOTIFY: "NetStream.Play.PublishNotify",
	UNPUBLISH_NOTIFY: "NetStream.Play.UnpublishNotify",
	STREAM_NOT_FOUND: "NetStream.Play.StreamNotFound",
});

const SIGNATURE = [0x54, 0x43];
const HAS_STREAM = 0x04;
const HEADER_LENGTH = 5;

/**
 * Metadata of a flow of a stream.
 *
 * @param {number} stream 0 for the control stream
 * @returns {Uint8Array}
 */
export function encodeMetadata(stream) {
	const bytes = [...SIGNATURE, HAS_STREAM];
	pushVlu(bytes, stream);
	return Uint8Array.from(bytes);
}

/**
 * Which stream a flow belongs to.
 *
 * @param {Uint8Array} metadata
 * @returns {number | undefined} nothing when the flow is not one of TC's
 */
export function decodeMetadata(metadata) {
	if (metadata[0] !== SIGNATURE[0] || metadata[1] !== SIGNATURE[1] || !(metadata[2] & HAS_STREAM)) return undefined;
	try {
		return decodeVlu(metadata, 3).value;
	} catch {
		return undefined;
	}
}

/**
 * A message, its body still in RTMP's form. The timestamp is in milliseconds, modulo 2^32.
 *
 * @typedef {{ type: number, timestamp: number, body: Uint8Array }} Message
 */

/**
 * Reads a message's header.
 *
 * @param {Uint8Array} bytes a whole message of a flow
 * @returns {Message}
 * @throws {Malformed} when it is shorter than a header
 */
export function decodeMessage(bytes) {
	if (bytes.length < HEADER_LENGTH) throw new Malformed("a message without a header");
	const timestamp = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(1);
	return { type: bytes[0], timestamp, body: bytes.subarray(HEADER_LENGTH) };
}

/**
 * Writes a message.
 *
 * @param {Message} message
 * @returns {Uint8Array}
 */
export function encodeMessage({ type, timestamp, body }) {
	const bytes = new Uint8Array(HEADER_LENGTH + body.length);
	bytes[0] = type;
	new DataView(bytes.buffer).setUint32(1, timestamp);
	bytes.set(body, HEADER_LENGTH);
	return bytes;
}

/**
 * Writes a command message.
 *
 * @param {string} name
 * @param {number} transaction 0 when no answer is wanted
 * @param {...import("./amf0.js").AmfValue} rest the command object and the arguments
 * @returns {Uint8Array}
 */
export function encodeCommand(name, transaction, ...rest) {
	return encodeMessage({ type: MessageType.COMMAND, timestamp: 0, body: encodeAmf(name, transaction, ...rest) });
}

/**
 * Reads the values of a command or data message.
 *
 * @param {Message} message
 * @returns {import("./amf0.js").AmfValue[] | undefined} nothing when it is neither
 * @throws {Malformed} when the values are
 */
export function decodeValues({ type, body }) {
	if (type === MessageType.COMMAND || type === MessageType.DATA) return decodeAmf(body);
	// The AMF3 forms are a zero byte and then AMF0.
	if (type === MessageType.COMMAND_AMF3 || type === MessageType.DATA_AMF3) return decodeAmf(body.subarray(1));
	return undefined;
}

/**
 * Reads a FLOW_SYNC: all of `count` flows wait for each other where it stands in them.
 *
 * @param {Message} message
 * @returns {{ id: number, count: number } | undefined} nothing when it is something else
 */
export function decodeFlowSync({ type, body }) {
	if (type !== MessageType.USER_CONTROL || body.length < 10) return undefined;
	const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
	if (view.getUint16(0) !== UserControl.FLOW_SYNC) return undefined;
	return { id: view.getUint32(2), count: view.getUint32(6) };
}
