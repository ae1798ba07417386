// @ts-check
/**
 * The viewer's end of RTWebSocket on one pipe, without I/O: what a peer's messages mean, and what is to be sent when.
 *
 * | what | specification |
 * |---|---|
 * | flows, fragments, windows, return association | RFC 7016, §3.6; RTWebSocket protocol description |
 * @module
 */

import { decodeFrame, encodeFrame } from "../../wire/frame.js";
import { EventQueue } from "../events.js";
import { PeerMisbehaved } from "../misbehaved.js";
import { Ping } from "../ping.js";
import { MAX_FLOWS } from "../session.js";
import { ReceiveFlow } from "./receive.js";
import { SendFlow } from "./send.js";

/** How long an acknowledgement may wait for company, in milliseconds. */
export const ACK_DELAY_MS = 250;
/** Least acknowledgement window, and the one before the peer sets another, in bytes. */
export const MIN_ACK_WINDOW = 2800;
/** Bytes that may be unacknowledged on all flows together. */
export const MAX_IN_FLIGHT = 65536;

/** @typedef {import("../incoming.js").IncomingFlow} IncomingFlow */
/** @typedef {import("../session.js").SessionEvent} SessionEvent */

/** One connection. */
export class PipeSession {
	/** @type {Map<number, ReceiveFlow>} */
	#receiving = new Map();
	/** @type {Map<number, SendFlow>} In the order in which they take turns. */
	#sending = new Map();
	/** @type {number[]} */
	#freeIds = [];
	#nextId = 0;

	#events = new EventQueue();

	/** @type {Uint8Array<ArrayBuffer>[]} Frames that wait for nothing: exceptions and ping replies. */
	#urgent = [];
	/** @type {Set<ReceiveFlow>} */
	#owed = new Set();
	/** @type {number | undefined} */
	#ackAt;
	#ackNow = false;
	#ackWindow = MIN_ACK_WINDOW;
	#receivedSinceWindow = 0;
	#ping;

	/**
	 * @param {number} now
	 * @param {{ pingIntervalMs?: number }} [options] `Infinity` turns pings off
	 */
	constructor(now, { pingIntervalMs = 1000 } = {}) {
		this.#ping = new Ping(now, pingIntervalMs);
	}

	/**
	 * Takes one message of the peer's.
	 *
	 * @param {number} now
	 * @param {Uint8Array} bytes kept by reference
	 * @throws {PeerMisbehaved | import("../../wire/vlu.js").Malformed} the connection is then to be closed
	 */
	handleMessage(now, bytes) {
		this.#ping.handleInput(now);
		const frame = decodeFrame(bytes);
		switch (frame?.type) {
			case undefined:
				return;
			case "ping":
				this.#urgent.push(encodeFrame({ type: "pingReply", payload: frame.payload }));
				return;
			case "pingReply":
				if (frame.payload.length === 1) this.#ping.handleReply(now, frame.payload[0]);
				return;
			case "ackWindow":
				this.#ackWindow = Math.max(frame.bytes, MIN_ACK_WINDOW);
				this.#countTowardsWindow(0);
				return;
			case "open":
				return this.#handleOpen(now, frame);
			case "data": {
				const flow = this.#receiver(frame.flow);
				this.#countTowardsWindow(bytes.length);
				const message = flow.handleData(frame.more, frame.payload, bytes.length);
				if (message) this.#events.push(message);
				return this.#owe(now, flow, flow.owesAcknowledgement);
			}
			case "abandon": {
				const flow = this.#receiver(frame.flow);
				const gap = flow.handleAbandon(frame.messages);
				if (gap) this.#events.push(gap);
				return this.#owe(now, flow, true);
			}
			case "close": {
				const flow = this.#receiver(frame.flow);
				// The number is free at once: a new flow may have it before this one's closing is acknowledged.
				this.#receiving.delete(frame.flow);
				flow.finish();
				this.#events.push({ type: "closed", flow });
				return this.#owe(now, flow, true);
			}
			case "ack": {
				const flow = this.#sender(frame.flow);
				if (frame.delta > flow.inFlight) throw new PeerMisbehaved("more is acknowledged than was sent");
				return flow.handleAck(frame.delta, frame.advertisement);
			}
			case "closeAck":
				if (!this.#sender(frame.flow).isFinished) throw new PeerMisbehaved("the closing of an open flow is acknowledged");
				this.#sending.delete(frame.flow);
				this.#freeIds.push(frame.flow);
				return;
			case "exception": {
				const flow = this.#sender(frame.flow);
				flow.handleException();
				this.#events.push({ type: "rejected", flow, reason: frame.reason, text: frame.text });
			}
		}
	}

	/**
	 * Does what is due.
	 *
	 * @param {number} now
	 */
	handleTimeout(now) {
		if (this.#ackAt !== undefined && now >= this.#ackAt) this.#ackNow = true;
		const { ping, silent } = this.#ping.handleTimeout(now);
		if (ping !== undefined) this.#urgent.push(encodeFrame({ type: "ping", payload: Uint8Array.of(ping) }));
		if (silent) this.#events.push({ type: "silent" });
	}

	/**
	 * Opens a flow to the peer.
	 *
	 * @param {Uint8Array} metadata what it is for
	 * @param {IncomingFlow} [answers] the peer's flow that it belongs to
	 * @returns {SendFlow}
	 */
	open(metadata, answers) {
		const flow = new SendFlow(this.#freeIds.shift() ?? this.#nextId++, metadata, answers?.id);
		this.#sending.set(flow.id, flow);
		return flow;
	}

	/**
	 * Ends a flow of the peer's.
	 *
	 * @param {number} now
	 * @param {IncomingFlow} flow
	 * @param {number} [reason] the application's
	 * @param {string} [text] the application's
	 */
	reject(now, flow, reason, text) {
		flow.reject();
		if (!this.#isReceiving(flow)) return;
		this.#urgent.push(encodeFrame({ type: "exception", flow: flow.id, reason, text }));
		this.#owe(now, flow, true);
	}

	/**
	 * Keeps a flow's events back. Its window shrinks by what comes meanwhile.
	 *
	 * @param {IncomingFlow} flow
	 */
	pause(flow) {
		flow.pause();
	}

	/**
	 * Lets a flow's events come, those that were kept back first.
	 *
	 * @param {number} now
	 * @param {IncomingFlow} flow
	 */
	resume(now, flow) {
		this.#events.resume(flow);
		if (this.#isReceiving(flow)) this.#owe(now, flow, true);
	}

	/**
	 * What happened, oldest first.
	 *
	 * @param {number} now
	 * @returns {SessionEvent | undefined}
	 */
	pollEvent(now) {
		return this.#events.poll((flow) => this.reject(now, flow, 0, "not accepted"));
	}

	/**
	 * What to send next.
	 *
	 * @returns {Uint8Array<ArrayBuffer> | undefined}
	 */
	pollTransmit() {
		return this.#urgent.shift() ?? this.#pollAck() ?? this.#pollFlow();
	}

	/**
	 * When `handleTimeout` is wanted; `Infinity` for never.
	 *
	 * @returns {number}
	 */
	pollTimeout() {
		return Math.min(this.#ackAt ?? Infinity, this.#ping.deadline);
	}

	/** Finds out about the round trip and `silent`. @returns {Ping | undefined} */
	get ping() {
		return this.#ping;
	}

	/**
	 * @param {number} now
	 * @param {{ flow: number, answers?: number, metadata: Uint8Array }} frame
	 */
	#handleOpen(now, { flow: id, answers, metadata }) {
		if (this.#receiving.has(id)) throw new PeerMisbehaved("a flow is opened twice");
		if (this.#receiving.size >= MAX_FLOWS) throw new PeerMisbehaved("too many flows");
		const answered = answers === undefined ? undefined : this.#sending.get(answers);
		const flow = new ReceiveFlow(id, metadata, answered);
		this.#receiving.set(id, flow);
		if (answers !== undefined && !answered?.isOpen) return this.reject(now, flow, 0, "return association not found");
		this.#events.push({ type: "opened", flow });
		this.#owe(now, flow, true);
	}

	/**
	 * Whether the peer may still send on a flow.
	 *
	 * @param {IncomingFlow} flow
	 * @returns {flow is ReceiveFlow}
	 */
	#isReceiving(flow) {
		return this.#receiving.get(flow.id) === flow;
	}

	/** @param {number} id */
	#receiver(id) {
		const flow = this.#receiving.get(id);
		if (!flow) throw new PeerMisbehaved(`no flow ${id} is open here`);
		return flow;
	}

	/** @param {number} id */
	#sender(id) {
		const flow = this.#sending.get(id);
		if (!flow) throw new PeerMisbehaved(`no flow ${id} is sent on here`);
		return flow;
	}

	/** @param {number} bytes */
	#countTowardsWindow(bytes) {
		this.#receivedSinceWindow += bytes;
		if (this.#receivedSinceWindow < this.#ackWindow) return;
		this.#receivedSinceWindow %= this.#ackWindow;
		this.#ackNow = true;
	}

	/**
	 * Notes that a flow is to be acknowledged: all that are go out together, so that one wait serves them all.
	 *
	 * @param {number} now
	 * @param {ReceiveFlow} flow
	 * @param {boolean} atOnce
	 */
	#owe(now, flow, atOnce) {
		this.#owed.add(flow);
		this.#ackAt ??= now + ACK_DELAY_MS;
		if (atOnce) this.#ackNow = true;
	}

	#pollAck() {
		if (!this.#ackNow) return undefined;
		for (const flow of this.#owed) {
			this.#owed.delete(flow);
			if (flow.isFinished) this.#urgent.push(encodeFrame({ type: "closeAck", flow: flow.id }));
			return encodeFrame({ type: "ack", flow: flow.id, ...flow.acknowledge() });
		}
		this.#ackNow = false;
		this.#ackAt = undefined;
		return undefined;
	}

	#pollFlow() {
		let inFlight = 0;
		for (const flow of this.#sending.values()) inFlight += flow.inFlight;
		if (inFlight >= MAX_IN_FLIGHT) return undefined;
		for (const flow of this.#sending.values()) {
			const frame = flow.pollFrame();
			if (!frame) continue;
			const bytes = encodeFrame(frame);
			if (frame.type === "data") flow.handleSent(bytes.length);
			this.#sending.delete(flow.id);
			this.#sending.set(flow.id, flow);
			return bytes;
		}
		return undefined;
	}
}
