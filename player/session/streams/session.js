// @ts-check
/**
 * The viewer's end of RTWebSocket's flows on many streams, without I/O: a group of messages on each, which may be lost alone.
 *
 * | what | specification |
 * |---|---|
 * | the bytes, and what both sides must do | the gateway's `src/wire/lane.rs` |
 *
 * A driver numbers the peer's lanes as it likes, and opens ours in the order of their numbers.
 * @module
 */

import { LaneCode, decodeRecord, encodeControlHeader, encodeRecord } from "../../wire/lane.js";
import { EventQueue } from "../events.js";
import { PeerMisbehaved } from "../misbehaved.js";
import { MAX_FLOWS } from "../session.js";
import { Lane } from "./lane.js";
import { ReceiveFlow } from "./receive.js";
import { SendFlow } from "./send.js";

/** How many lanes may have come before the openings of their flows: those are sent first. */
export const MAX_EARLY_LANES = 64;
/** What all lanes together may hold back, in bytes: a peer whose lanes never come in turn would otherwise fill the memory. */
export const MAX_HELD_BYTES = 64 << 20;

/** @typedef {import("../incoming.js").IncomingFlow} IncomingFlow */
/** @typedef {import("../session.js").SessionEvent} SessionEvent */

/**
 * What goes to the transport. Writing to a lane of ours opens it; `stop` is about one of the peer's, of which nothing more is
 * to be given to the session.
 *
 * @typedef {{ type: "write", lane: number, bytes: Uint8Array<ArrayBuffer> }
 *   | { type: "finish" | "reset", lane: number }
 *   | { type: "stop", lane: number, code: number }} LaneTransmit
 */

const CONTROL_LANE = 0;

/** One connection. */
export class StreamsSession {
	/** There are no pings here: whoever holds the conversation asks for the time. */
	ping = undefined;

	/** @type {Map<number, Lane>} The peer's, by the driver's numbers. */
	#lanes = new Map();
	/** @type {Lane | undefined} */
	#control;
	/** @type {{ flow: number, lane: Lane }[]} Lanes that came before the opening of their flow. */
	#early = [];
	/** @type {Map<number, ReceiveFlow>} */
	#receiving = new Map();
	#highestFlow = -1;
	/** @type {Map<number, SendFlow>} */
	#sending = new Map();
	#nextFlow = 0;
	#nextLane = CONTROL_LANE + 1;

	#events = new EventQueue();
	/** @type {LaneTransmit[]} */
	#transmits = [{ type: "write", lane: CONTROL_LANE, bytes: encodeControlHeader() }];
	#sink = {
		push: (/** @type {SessionEvent} */ event) => this.#events.push(event),
		stop: (/** @type {Lane} */ lane, /** @type {number} */ code) => this.#stop(lane, code),
	};

	/**
	 * The peer has opened a lane.
	 *
	 * @param {number} id
	 */
	handleOpened(id) {
		this.#lanes.set(id, new Lane(id));
	}

	/**
	 * Takes the next bytes of a lane of the peer's; those of one that was stopped are nothing.
	 *
	 * @param {number} now
	 * @param {number} id
	 * @param {Uint8Array} bytes kept by reference
	 * @throws {PeerMisbehaved | import("../../wire/vlu.js").Malformed} the connection is then to be closed
	 */
	handleReceived(now, id, bytes) {
		const lane = this.#lanes.get(id);
		if (!lane) return;
		lane.decoder.push(bytes);
		for (let item = lane.decoder.poll(); item; item = lane.decoder.poll()) {
			this.#handleItem(now, lane, item);
			// It was stopped.
			if (!this.#lanes.has(id)) return;
		}
		this.#advance(now);
		this.#checkHeld();
	}

	/**
	 * A lane of the peer's has ended in order: all of its bytes came before.
	 *
	 * @param {number} now
	 * @param {number} id
	 */
	handleFinished(now, id) {
		const lane = this.#lanes.get(id);
		if (lane?.decoder.bufferedBytes) throw new PeerMisbehaved("a lane ends in the middle of a message");
		this.handleReset(now, id);
	}

	/**
	 * The peer has reset a lane of its own, perhaps before any of its bytes came.
	 *
	 * @param {number} now
	 * @param {number} id
	 */
	handleReset(now, id) {
		const lane = this.#lanes.get(id);
		if (!lane) return;
		if (lane === this.#control) throw new PeerMisbehaved("the control lane ended");
		this.#lanes.delete(id);
		lane.hasEnded = true;
		this.#advance(now);
	}

	/**
	 * Does what is due.
	 *
	 * @param {number} now
	 */
	handleTimeout(now) {
		this.#advance(now);
	}

	/**
	 * Opens a flow to the peer.
	 *
	 * @param {Uint8Array} metadata what it is for
	 * @param {IncomingFlow} [answers] the peer's flow that it belongs to
	 * @returns {SendFlow}
	 */
	open(metadata, answers) {
		const flow = new SendFlow(this.#nextFlow++);
		this.#sending.set(flow.id, flow);
		this.#record({ type: "open", flow: flow.id, answers: answers?.id, metadata });
		return flow;
	}

	/**
	 * Ends a flow of the peer's.
	 *
	 * @param {number} _now
	 * @param {IncomingFlow} flow
	 * @param {number} [reason] the application's
	 * @param {string} [text] the application's
	 */
	reject(_now, flow, reason, text) {
		if (flow.isRejected) return;
		this.#record({ type: "exception", flow: flow.id, reason, text });
		/** @type {ReceiveFlow} */ (flow).reject(this.#sink);
	}

	/**
	 * Keeps a flow's events back.
	 *
	 * @param {IncomingFlow} flow
	 */
	pause(flow) {
		flow.pause();
	}

	/**
	 * Lets a flow's events come, those that were kept back first.
	 *
	 * @param {number} _now
	 * @param {IncomingFlow} flow
	 */
	resume(_now, flow) {
		this.#events.resume(flow);
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
	 * What to do next.
	 *
	 * @returns {LaneTransmit | undefined}
	 */
	pollTransmit() {
		for (const flow of this.#sending.values()) {
			if (this.#transmits.length > 0) break;
			const transmit = flow.pollTransmit(() => this.#nextLane++);
			if (flow.isFinished) {
				this.#sending.delete(flow.id);
				if (transmit?.type === "reset") this.#record({ type: "givenUp", flow: flow.id, lane: 0 });
				this.#record({ type: "close", flow: flow.id, lanes: flow.lanes, messages: flow.messages });
			}
			if (transmit) return transmit;
		}
		return this.#transmits.shift();
	}

	/**
	 * When `handleTimeout` is wanted; `Infinity` for never.
	 *
	 * @returns {number}
	 */
	pollTimeout() {
		let soonest = Infinity;
		for (const flow of this.#receiving.values()) soonest = Math.min(soonest, flow.deadline);
		return soonest;
	}

	/**
	 * @param {number} now
	 * @param {Lane} lane
	 * @param {import("../../wire/lane.js").LaneItem} item
	 */
	#handleItem(now, lane, item) {
		switch (item.type) {
			case "control":
				if (this.#control) throw new PeerMisbehaved("there are two control lanes");
				this.#control = lane;
				return;
			case "record":
				return this.#handleRecord(now, item.bytes);
			case "group":
				lane.setHeader(item);
				return this.#handleLane(item.flow, lane);
			case "message":
				return lane.pushMessage(now, item);
			case "unknown":
				return this.#stop(lane, LaneCode.REJECTED);
		}
	}

	/**
	 * @param {number} now
	 * @param {Uint8Array} bytes
	 */
	#handleRecord(now, bytes) {
		const record = decodeRecord(bytes);
		switch (record?.type) {
			case "open":
				return this.#handleOpen(now, record);
			case "givenUp":
				this.#receiver(record.flow)?.handleGivenUp(record.lane, this.#sink);
				return this.#advance(now);
			case "close":
				this.#receiver(record.flow)?.handleClose(record.lanes, record.messages);
				return this.#advance(now);
			case "exception": {
				if (record.flow >= this.#nextFlow) throw new PeerMisbehaved(`no flow ${record.flow} was opened here`);
				const flow = this.#sending.get(record.flow);
				if (!flow) return;
				flow.handleException();
				this.#events.push({ type: "rejected", flow, reason: record.reason, text: record.text });
			}
		}
	}

	/**
	 * @param {number} now
	 * @param {{ flow: number, answers?: number, metadata: Uint8Array }} record
	 */
	#handleOpen(now, { flow: id, answers, metadata }) {
		if (id <= this.#highestFlow) throw new PeerMisbehaved("a flow's number is used again");
		if (this.#receiving.size >= MAX_FLOWS) throw new PeerMisbehaved("too many flows");
		this.#highestFlow = id;
		const answered = answers === undefined ? undefined : this.#sending.get(answers);
		const flow = new ReceiveFlow(id, metadata, answered);
		this.#receiving.set(id, flow);
		if (answers !== undefined && !answered?.isOpen) this.reject(now, flow, 0, "return association not found");
		else this.#events.push({ type: "opened", flow });
		const early = this.#early.filter((lane) => lane.flow <= id);
		this.#early = this.#early.filter((lane) => lane.flow > id);
		for (const { flow: of, lane } of early) this.#handleLane(of, lane);
	}

	/**
	 * @param {number} id its flow's
	 * @param {Lane} lane
	 */
	#handleLane(id, lane) {
		const flow = this.#receiving.get(id);
		if (flow) return flow.handleLane(lane, this.#sink);
		// The flow is over, or its number was left out.
		if (id <= this.#highestFlow) return this.#stop(lane, LaneCode.REJECTED);
		this.#early.push({ flow: id, lane });
		if (this.#early.length > MAX_EARLY_LANES) throw new PeerMisbehaved("too many lanes of flows that are not open");
	}

	/**
	 * @param {number} id
	 * @returns {ReceiveFlow | undefined} nothing when it is over
	 */
	#receiver(id) {
		if (id > this.#highestFlow) throw new PeerMisbehaved(`no flow ${id} is open here`);
		return this.#receiving.get(id);
	}

	/** @param {number} now */
	#advance(now) {
		for (const [id, flow] of this.#receiving) {
			flow.advance(now, this.#sink);
			if (flow.isClosed) this.#receiving.delete(id);
		}
	}

	/**
	 * @param {Lane} lane
	 * @param {number} code
	 */
	#stop(lane, code) {
		if (this.#lanes.delete(lane.id)) this.#transmits.push({ type: "stop", lane: lane.id, code });
	}

	/** @param {import("../../wire/lane.js").LaneRecord} record */
	#record(record) {
		this.#transmits.push({ type: "write", lane: CONTROL_LANE, bytes: encodeRecord(record) });
	}

	#checkHeld() {
		let held = 0;
		for (const { lane } of this.#early) held += lane.heldBytes;
		for (const flow of this.#receiving.values()) held += flow.heldBytes;
		if (held > MAX_HELD_BYTES) throw new PeerMisbehaved("too much waits for its turn");
	}
}
