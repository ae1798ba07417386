// @ts-check
/**
 * One flow that the peer sends on: its lanes put in order again, and its losses read from the messages' numbers.
 *
 * ```
 *  lane 4  ■■■■■■┈┈┈┈  late     │ handed up as it comes, the oldest
 *  lane 5      ■■■■■■■■■■       │ waits for 4 to end, at most MAX_WAIT_MS from its first message on; then 4 is stopped
 * ```
 * @module
 */

import { LaneCode } from "../../wire/lane.js";
import { IncomingFlow } from "../incoming.js";
import { PeerMisbehaved } from "../misbehaved.js";

/** How long a newer lane waits for the ones before it, in milliseconds. */
export const MAX_WAIT_MS = 100;
/** How many lanes of a flow may wait: honest ones are given up long before, and ones that never end would fill the memory. */
export const MAX_WAITING_LANES = 128;

/** @typedef {import("./lane.js").Lane} Lane */

/**
 * What a flow does to its session.
 *
 * @typedef {object} Sink
 * @property {(event: import("../session.js").FlowEvent) => void} push
 * @property {(lane: Lane, code: number) => void} stop asks the peer for no more of a lane
 */

/** A flow that the peer sends on, in lanes. */
export class ReceiveFlow extends IncomingFlow {
	/** @type {Map<number, Lane>} Those that came and are not done with, by their number. */
	#lanes = new Map();
	/** @type {Set<number>} Those that the peer gave up and whose turn has not come. */
	#givenUp = new Set();
	/** The lane whose turn it is. */
	#turn = 0;
	/** Whether its header was taken. */
	#begun = false;
	/** The next message's number, as far as it is known. */
	#number = 1;
	/** @type {Uint8Array} The last preamble. */
	#preamble = new Uint8Array();
	#total = Infinity;
	/** How many messages it had. */
	#messages = 0;
	#closed = false;

	/**
	 * Takes a lane whose header has come.
	 *
	 * @param {Lane} lane
	 * @param {Sink} sink
	 * @throws {PeerMisbehaved}
	 */
	handleLane(lane, sink) {
		const { number } = lane;
		if (this.isRejected) return sink.stop(lane, LaneCode.REJECTED);
		// Its time is over: a newer one was handed up, or the peer has given it up.
		if (number < this.#turn || this.#givenUp.has(number)) return sink.stop(lane, LaneCode.SUPERSEDED);
		if (this.#lanes.has(number)) throw new PeerMisbehaved("a lane comes twice");
		if (number >= this.#total) throw new PeerMisbehaved("a lane that the flow does not have");
		this.#lanes.set(number, lane);
		this.#checkWaiting(number);
	}

	/**
	 * The peer has given up a lane.
	 *
	 * @param {number} number
	 * @param {Sink} sink
	 */
	handleGivenUp(number, sink) {
		if (number < this.#turn || this.isRejected) return;
		const lane = this.#lanes.get(number);
		if (lane) {
			lane.hasEnded = true;
			// What came of it is whole messages; its reset is still under way, or was seen already.
			sink.stop(lane, LaneCode.SUPERSEDED);
			return;
		}
		this.#givenUp.add(number);
		this.#checkWaiting(number);
	}

	/**
	 * The peer has finished the flow.
	 *
	 * @param {number} lanes how many it had
	 * @param {number} messages how many it had, given up or not
	 */
	handleClose(lanes, messages) {
		if (lanes < this.#turn) throw new PeerMisbehaved("a flow has fewer lanes than came");
		this.#total = lanes;
		this.#messages = messages;
	}

	/**
	 * Ends what the peer may say on it.
	 *
	 * @param {Sink} [sink]
	 */
	reject(sink) {
		super.reject();
		for (const lane of this.#lanes.values()) sink?.stop(lane, LaneCode.REJECTED);
		this.#lanes.clear();
		this.#givenUp.clear();
	}

	/**
	 * Hands up what is in turn.
	 *
	 * @param {number} now
	 * @param {Sink} sink
	 * @throws {PeerMisbehaved}
	 */
	advance(now, sink) {
		if (this.isRejected) return;
		for (;;) {
			this.#handUp(sink);
			const next = this.#nextDue(now);
			if (next === undefined) break;
			for (const number of [...this.#lanes.keys()].filter((number) => number < next).toSorted((a, b) => a - b)) {
				this.#moveTo(number);
				this.#handUpLane(/** @type {Lane} */ (this.#lanes.get(number)), sink);
				sink.stop(/** @type {Lane} */ (this.#lanes.get(number)), LaneCode.SUPERSEDED);
				this.#lanes.delete(number);
			}
			this.#moveTo(next);
		}
		if (this.#turn >= this.#total && !this.#closed) {
			this.#closed = true;
			this.#skipTo(this.#messages + 1, sink);
			sink.push({ type: "closed", flow: this });
		}
	}

	/** When a lane has waited long enough; `Infinity` for never. */
	get deadline() {
		let soonest = Infinity;
		for (const [number, lane] of this.#lanes) if (number > this.#turn) soonest = Math.min(soonest, lane.firstMessageAt + MAX_WAIT_MS);
		return soonest;
	}

	/** Bytes that wait for their turn. */
	get heldBytes() {
		let held = 0;
		for (const lane of this.#lanes.values()) held += lane.heldBytes;
		return held;
	}

	/** Whether the peer has finished it and all was handed up. */
	get isClosed() {
		return this.#closed || (this.isRejected && this.#total !== Infinity);
	}

	/**
	 * The lanes in turn, as far as they have come.
	 *
	 * @param {Sink} sink
	 */
	#handUp(sink) {
		for (;;) {
			const lane = this.#lanes.get(this.#turn);
			if (!lane && !this.#givenUp.has(this.#turn)) return;
			if (lane) this.#handUpLane(lane, sink);
			if (lane && !lane.hasEnded) return;
			this.#lanes.delete(this.#turn);
			this.#moveTo(this.#turn + 1);
		}
	}

	/**
	 * What has come of the lane in turn.
	 *
	 * @param {Lane} lane
	 * @param {Sink} sink
	 */
	#handUpLane(lane, sink) {
		if (!this.#begun) {
			this.#begun = true;
			this.#skipTo(lane.first, sink);
			this.#handUpPreamble(lane.preamble, sink);
		}
		for (const { skipped, payload } of lane.takeMessages()) {
			this.#skipTo(this.#number + skipped, sink);
			sink.push({ type: "message", flow: this, number: this.#number++, payload });
		}
	}

	/**
	 * @param {Uint8Array} preamble
	 * @param {Sink} sink
	 */
	#handUpPreamble(preamble, sink) {
		if (preamble.length === 0 || sameBytes(preamble, this.#preamble)) return;
		this.#preamble = preamble;
		sink.push({ type: "message", flow: this, number: 0, payload: preamble });
	}

	/**
	 * The messages before one are lost, as far as they have not come.
	 *
	 * @param {number} number
	 * @param {Sink} sink
	 */
	#skipTo(number, sink) {
		if (number > this.#number) sink.push({ type: "gap", flow: this, messages: number - this.#number });
		this.#number = Math.max(this.#number, number);
	}

	/** @param {number} turn */
	#moveTo(turn) {
		this.#turn = turn;
		this.#begun = false;
		for (const number of this.#givenUp) if (number < turn) this.#givenUp.delete(number);
	}

	/**
	 * The oldest lane that has waited long enough.
	 *
	 * @param {number} now
	 */
	#nextDue(now) {
		let next;
		for (const [number, { firstMessageAt }] of this.#lanes) {
			const isDue = number > this.#turn && now >= firstMessageAt + MAX_WAIT_MS;
			if (isDue && (next === undefined || number < next)) next = number;
		}
		return next;
	}

	/** @param {number} number of a lane that begins to wait */
	#checkWaiting(number) {
		const waiting = this.#lanes.size + this.#givenUp.size;
		if (waiting > MAX_WAITING_LANES) throw new PeerMisbehaved(`lane ${this.#turn} does not end, and ${number} comes`);
	}
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
function sameBytes(a, b) {
	return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
