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
import { FlowSync } from "./session/sync.js";
import { isObject } from "./wire/amf0.js";
import { Command, MessageType, Status, decodeFlowSync, decodeMessage, decodeMetadata, decodeValues, encodeCommand, encodeMetadata } from "./wire/tc.js";

/** Window of a stream's flows, in bytes: what genuine peers grant. */
const STREAM_WINDOW = 16777215;
const CONTROL_STREAM = 0;
const CONNECT_TRANSACTION = 1;
const CREATE_STREAM_TRANSACTION = 2;

/** @typedef {import("./session/receive.js").ReceiveFlow} ReceiveFlow */
/** @typedef {import("./session/send.js").SendFlow} SendFlow */
/** @typedef {import("./wire/amf0.js").AmfValue} AmfValue */
/** @typedef {import("./wire/amf0.js").AmfObject} AmfObject */

/**
 * What the gateway said. `waiting`: nobody publishes this, and the conversation goes on until somebody does.
 * `gap`: messages that will never come; of the video's flow when `video`. `over`: nothing more comes.
 *
 * @typedef {{ type: "started", targetDelayMs?: number }
 *   | { type: "published" | "unpublished" | "waiting" }
 *   | { type: "metadata", metadata: AmfObject }
 *   | { type: "unit", unit: import("./media/flv.js").Unit }
 *   | { type: "gap", video: boolean, messages: number }
 *   | { type: "status", info: AmfObject }
 *   | { type: "over", reason: string }} ConversationEvent
 */

/** One stream, watched over one session. */
export class Conversation {
	#session;
	#source;
	/** @type {"idle" | "connecting" | "creating" | "playing" | "over"} */
	#state = "idle";
	/** @type {SendFlow | undefined} */
	#control;
	/** @type {ReceiveFlow | undefined} */
	#answers;
	/** @type {SendFlow | undefined} */
	#commands;
	#stream = CONTROL_STREAM;
	/** @type {Set<ReceiveFlow>} Flows on which video has come. */
	#videoFlows = new Set();
	/** @type {FlowSync<ReceiveFlow>} */
	#sync = new FlowSync();
	/** @type {ConversationEvent[]} */
	#events = [];

	/**
	 * @param {import("./session/session.js").Session} session
	 * @param {import("./source.js").Source} source
	 */
	constructor(session, source) {
		this.#session = session;
		this.#source = source;
	}

	/** Begins it. */
	start() {
		this.#state = "connecting";
		this.#control = this.#session.open(encodeMetadata(CONTROL_STREAM));
		const { app, url } = this.#source;
		this.#control.write(encodeCommand(Command.CONNECT, CONNECT_TRANSACTION, { app, tcUrl: url, objectEncoding: 0 }));
	}

	/**
	 * Takes what the session has to tell.
	 *
	 * @param {number} now
	 * @throws {import("./wire/vlu.js").Malformed} the connection is then to be closed
	 */
	handleSession(now) {
		for (let event = this.#session.pollEvent(now); event; event = this.#session.pollEvent(now)) {
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

	/** @returns {ConversationEvent | undefined} what was said, oldest first */
	pollEvent() {
		return this.#events.shift();
	}

	/** When `handleTimeout` is wanted; `Infinity` for never. */
	get deadline() {
		return this.#sync.deadline;
	}

	/** @param {ReceiveFlow} flow */
	#handleOpened(flow) {
		const stream = decodeMetadata(flow.metadata);
		if (stream === undefined || flow.answers !== this.#control) return;
		if (stream === CONTROL_STREAM) {
			flow.accept();
			this.#answers ??= flow;
		} else if (stream === this.#stream) {
			flow.accept(STREAM_WINDOW);
		}
	}

	/** @param {{ flow: ReceiveFlow, messages: number }} gap */
	#handleGap({ flow, messages }) {
		this.#events.push({ type: "gap", video: this.#videoFlows.has(flow), messages });
	}

	/** @param {ReceiveFlow} flow */
	#handleClosed(flow) {
		this.#videoFlows.delete(flow);
		if (flow === this.#answers) this.#end("the gateway ended the conversation");
	}

	/**
	 * @param {number} now
	 * @param {ReceiveFlow} flow
	 * @param {Uint8Array} payload
	 */
	#handleMessage(now, flow, payload) {
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
		else this.#handleValues(decodeValues(message) ?? []);
	}

	/** @param {AmfValue[]} values */
	#handleValues([name, ...values]) {
		if (name === Command.RESULT) this.#handleResult(values);
		else if (name === Command.ERROR) this.#handleStatus(values[2]);
		else if (name === Command.STATUS) this.#handleStatus(values[2]);
		else if (name === "onMetaData" && isObject(values[0])) this.#events.push({ type: "metadata", metadata: values[0] });
	}

	/** @param {AmfValue[]} values */
	#handleResult([transaction, , result]) {
		if (transaction === CONNECT_TRANSACTION && this.#state === "connecting") {
			this.#state = "creating";
			this.#control?.write(encodeCommand(Command.CREATE_STREAM, CREATE_STREAM_TRANSACTION, null));
		} else if (transaction === CREATE_STREAM_TRANSACTION && this.#state === "creating") {
			if (typeof result !== "number") return this.#end("no stream was made");
			this.#state = "playing";
			this.#stream = result;
			this.#commands = this.#session.open(encodeMetadata(result), this.#answers);
			this.#command(Command.PLAY, this.#source.name);
		}
	}

	/** @param {AmfValue} info */
	#handleStatus(info) {
		if (!isObject(info)) return;
		this.#events.push({ type: "status", info });
		switch (info.code) {
			case Status.PLAY_START:
				this.#events.push({ type: "started", targetDelayMs: typeof info.targetDelay === "number" ? info.targetDelay : undefined });
				return;
			case Status.PUBLISH_NOTIFY:
				this.#events.push({ type: "published" });
				return;
			case Status.UNPUBLISH_NOTIFY:
				this.#events.push({ type: "unpublished" });
				return;
			case Status.STREAM_NOT_FOUND:
				this.#events.push({ type: "waiting" });
				return;
			default:
				if (info.level === "error") this.#end(String(info.description ?? info.code));
		}
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
