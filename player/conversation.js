// @ts-check
/**
 * What a viewer says to a gateway: connect, createStream, play, and what it makes of the answers. Without I/O.
 *
 * ```
 *  idle ─start─▶ connecting ─_result─▶ creating ─_result─▶ playing ──▶ over
 * ```
 *
 * Times are milliseconds of one monotonic clock, given by the caller.
 *
 * Defined by: RFC 7425, §5; Adobe RTMP 1.0, §7.2.
 * @module
 */

import { decodeUnit } from "./media/flv.js";
import { Format } from "./names.js";
import { Ping } from "./session/ping.js";
import { FlowSync } from "./session/sync.js";
import { TOKEN } from "./source.js";
import { isObject } from "./wire/amf0.js";
import { Command, MessageType, Status, decodeFlowSync, decodeMessage, decodeMetadata, decodeValues, encodeCommand, encodeMetadata } from "./wire/tc.js";
import { decodeFlowMetadata, decodeTlv } from "./wire/tlv.js";

/** Window of a stream's flows, in bytes: what genuine peers grant. */
const STREAM_WINDOW = 16777215;
const CONTROL_STREAM = 0;
const CONNECT_TRANSACTION = 1;
const CREATE_STREAM_TRANSACTION = 2;
/** Transaction of the first of the calls that measure the round trip; they go round. */
const FIRST_TIME_TRANSACTION = 1000;
const TIME_INTERVAL_MS = 1000;
/** What a gateway says that does not let this viewer in, or not have the stream. @type {readonly string[]} */
const REFUSALS = Object.freeze([Status.CONNECT_REJECTED, Status.PLAY_FAILED]);

/** @typedef {import("./session/session.js").IncomingFlow} IncomingFlow */
/** @typedef {import("./session/session.js").OutgoingFlow} OutgoingFlow */
/** @typedef {import("./wire/amf0.js").AmfValue} AmfValue */
/** @typedef {import("./wire/amf0.js").AmfObject} AmfObject */

/**
 * What the gateway said. `waiting`: nobody publishes this, and the conversation goes on until somebody does.
 * `gap`: messages that will never come; of the video's flow when `video`. `unit` comes of the format `raw`, `tlv` of
 * `fmp4`. `refused`: it lets this viewer not have it; `over` follows. `over`: nothing more comes.
 *
 * @typedef {{ type: "started", targetDelayMs?: number }
 *   | { type: "published" | "unpublished" | "waiting" }
 *   | { type: "metadata", metadata: AmfObject }
 *   | { type: "unit", unit: import("./media/flv.js").Unit }
 *   | { type: "tlv", message: import("./wire/tlv.js").TlvMessage }
 *   | { type: "gap", video: boolean, messages: number }
 *   | { type: "status", info: AmfObject }
 *   | { type: "refused" | "over", reason: string }} ConversationEvent
 */

/** One stream, watched over one session. */
export class Conversation {
	#session;
	#source;
	#format;
	/** @type {"idle" | "connecting" | "creating" | "playing" | "over"} */
	#state = "idle";
	/** @type {OutgoingFlow | undefined} */
	#control;
	/** @type {IncomingFlow | undefined} */
	#answers;
	/** @type {OutgoingFlow | undefined} */
	#commands;
	#stream = CONTROL_STREAM;
	/** @type {Set<IncomingFlow>} Flows on which video has come. */
	#videoFlows = new Set();
	/** @type {Set<IncomingFlow>} Flows of fragmented MP4. */
	#tlvFlows = new Set();
	/** @type {FlowSync<IncomingFlow>} */
	#sync = new FlowSync();
	/** @type {Ping | undefined} Measures by calls what a session without pings cannot, once the gateway takes calls. */
	#ping;
	/** @type {ConversationEvent[]} */
	#events = [];

	/**
	 * @param {import("./session/session.js").Session} session
	 * @param {import("./source.js").Source} source
	 * @param {string} [format] one of `Format`
	 */
	constructor(session, source, format = Format.RAW) {
		this.#session = session;
		this.#source = source;
		this.#format = format;
	}

	/** Begins it. */
	start() {
		this.#state = "connecting";
		this.#control = this.#session.open(encodeMetadata(CONTROL_STREAM));
		const { app, url, token } = this.#source;
		const credential = token ? { [TOKEN]: token } : {};
		this.#control.write(encodeCommand(Command.CONNECT, CONNECT_TRANSACTION, { app, tcUrl: url, objectEncoding: 0, ...credential }));
	}

	/**
	 * Takes what the session has to tell.
	 *
	 * @param {number} now
	 * @throws {import("./wire/vlu.js").Malformed} the connection is then to be closed
	 */
	handleSession(now) {
		for (let event = this.#session.pollEvent(now); event; event = this.#session.pollEvent(now)) {
			this.#ping?.handleInput(now);
			if (event.type === "opened") this.#handleOpened(event.flow);
			else if (event.type === "message") this.#handleMessage(now, event.flow, event.payload);
			else if (event.type === "gap") this.#handleGap(event);
			else if (event.type === "closed") this.#handleClosed(event.flow);
			else if (event.type === "rejected") this.#end(event.text || "a flow was rejected");
			else if (event.type === "silent") this.#end("the gateway fell silent");
		}
	}

	/**
	 * Does what is due.
	 *
	 * @param {number} now
	 */
	handleTimeout(now) {
		for (const flow of this.#sync.handleTimeout(now)) this.#session.resume(now, flow);
		const { ping, silent } = this.#ping?.handleTimeout(now) ?? { silent: false };
		if (ping !== undefined) this.#control?.write(encodeCommand(Command.TIME, FIRST_TIME_TRANSACTION + ping, null));
		if (silent) this.#end("the gateway fell silent");
	}

	/**
	 * Stops all media, or lets it come again: video then from the next key frame.
	 *
	 * @param {boolean} paused
	 */
	pause(paused) {
		this.#command(Command.PAUSE, paused);
	}

	/**
	 * Asks for video or for none.
	 *
	 * @param {boolean} wanted
	 */
	receiveVideo(wanted) {
		this.#command(Command.RECEIVE_VIDEO, wanted);
	}

	/**
	 * Asks for audio or for none.
	 *
	 * @param {boolean} wanted
	 */
	receiveAudio(wanted) {
		this.#command(Command.RECEIVE_AUDIO, wanted);
	}

	/**
	 * Asks for a sign of life: the network may be another one.
	 *
	 * @param {number} now
	 */
	probe(now) {
		this.#session.ping?.probe(now);
		this.#ping?.probe(now);
	}

	/**
	 * For how long the gateway has owed a sign of life, in milliseconds.
	 *
	 * @param {number} now
	 */
	unanswered(now) {
		return (this.#session.ping ?? this.#ping)?.unanswered(now) ?? 0;
	}

	/** @returns {ConversationEvent | undefined} what was said, oldest first */
	pollEvent() {
		return this.#events.shift();
	}

	/** When `handleTimeout` is wanted; `Infinity` for never. */
	get deadline() {
		return Math.min(this.#sync.deadline, this.#ping?.deadline ?? Infinity);
	}

	/** Smoothed round-trip time in milliseconds; nothing before it has been measured. */
	get rtt() {
		return (this.#session.ping ?? this.#ping)?.rtt;
	}

	/** @param {IncomingFlow} flow */
	#handleOpened(flow) {
		const tlv = decodeFlowMetadata(flow.metadata);
		const stream = tlv?.stream ?? decodeMetadata(flow.metadata);
		if (stream === undefined || flow.answers !== this.#control) return;
		if (stream === CONTROL_STREAM) {
			flow.accept();
			this.#answers ??= flow;
		} else if (stream === this.#stream) {
			flow.accept(STREAM_WINDOW);
			if (tlv) this.#tlvFlows.add(flow);
			if (tlv?.track === "video") this.#videoFlows.add(flow);
		}
	}

	/** @param {{ flow: IncomingFlow, messages: number }} gap */
	#handleGap({ flow, messages }) {
		this.#events.push({ type: "gap", video: this.#videoFlows.has(flow), messages });
	}

	/** @param {IncomingFlow} flow */
	#handleClosed(flow) {
		this.#videoFlows.delete(flow);
		this.#tlvFlows.delete(flow);
		if (flow === this.#answers) this.#end("the gateway ended the conversation");
	}

	/**
	 * @param {number} now
	 * @param {IncomingFlow} flow
	 * @param {Uint8Array} payload
	 */
	#handleMessage(now, flow, payload) {
		if (this.#tlvFlows.has(flow)) {
			for (const message of decodeTlv(payload)) this.#events.push({ type: "tlv", message });
			return;
		}
		const message = decodeMessage(payload);
		const sync = decodeFlowSync(message);
		if (sync) {
			this.#session.pause(flow);
			for (const met of this.#sync.arrive(now, sync.id, sync.count, flow)) this.#session.resume(now, met);
			return;
		}
		if (message.type === MessageType.VIDEO) this.#videoFlows.add(flow);
		const unit = decodeUnit(message);
		if (unit) this.#events.push({ type: "unit", unit });
		else this.#handleValues(now, decodeValues(message) ?? []);
	}

	/**
	 * @param {number} now
	 * @param {AmfValue[]} values
	 */
	#handleValues(now, [name, ...values]) {
		const isAnswer = name === Command.RESULT || name === Command.ERROR;
		// Any answer will do: a gateway that does not know the call says so as fast.
		if (isAnswer && Number(values[0]) >= FIRST_TIME_TRANSACTION) this.#ping?.handleReply(now, Number(values[0]) - FIRST_TIME_TRANSACTION);
		else if (name === Command.RESULT) this.#handleResult(now, values);
		else if (name === Command.ERROR) this.#handleStatus(values[2]);
		else if (name === Command.STATUS) this.#handleStatus(values[2]);
		else if (name === "onMetaData" && isObject(values[0])) this.#events.push({ type: "metadata", metadata: values[0] });
	}

	/**
	 * @param {number} now
	 * @param {AmfValue[]} values
	 */
	#handleResult(now, [transaction, , result]) {
		if (transaction === CONNECT_TRANSACTION && this.#state === "connecting") {
			this.#state = "creating";
			if (!this.#session.ping) this.#ping = new Ping(now, TIME_INTERVAL_MS);
			this.#control?.write(encodeCommand(Command.CREATE_STREAM, CREATE_STREAM_TRANSACTION, null));
		} else if (transaction === CREATE_STREAM_TRANSACTION && this.#state === "creating") {
			if (typeof result !== "number") return this.#end("no stream was made");
			this.#state = "playing";
			this.#stream = result;
			this.#commands = this.#session.open(encodeMetadata(result), this.#answers);
			const { name } = this.#source;
			this.#command(Command.PLAY, this.#format === Format.RAW ? name : `${name}${name.includes("?") ? "&" : "?"}format=${this.#format}`);
		}
	}

	/** @param {AmfValue} info */
	#handleStatus(info) {
		if (!isObject(info)) return;
		this.#events.push({ type: "status", info });
		const event = decodeStatus(info);
		if (event?.type === "over") {
			if (REFUSALS.includes(String(info.code))) this.#events.push({ type: "refused", reason: event.reason });
			this.#end(event.reason);
		}
		else if (event) this.#events.push(event);
	}

	/**
	 * @param {string} name
	 * @param {AmfValue} argument
	 */
	#command(name, argument) {
		this.#commands?.write(encodeCommand(name, 0, null, argument));
	}

	/** @param {string} reason */
	#end(reason) {
		if (this.#state === "over") return;
		this.#state = "over";
		this.#events.push({ type: "over", reason });
	}
}

/**
 * What an info object says.
 *
 * @param {{ [name: string]: unknown }} info
 * @returns {ConversationEvent | undefined}
 */
export function decodeStatus({ code, level, description, targetDelay }) {
	switch (code) {
		case Status.PLAY_START:
			return { type: "started", targetDelayMs: typeof targetDelay === "number" ? targetDelay : undefined };
		case Status.PUBLISH_NOTIFY:
			return { type: "published" };
		case Status.UNPUBLISH_NOTIFY:
			return { type: "unpublished" };
		case Status.STREAM_NOT_FOUND:
			return { type: "waiting" };
		default:
			return level === "error" ? { type: "over", reason: String(description ?? code) } : undefined;
	}
}
