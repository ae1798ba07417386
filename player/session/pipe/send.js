// @ts-check
/**
 * One flow that this side sends on.
 *
 * Invariant: no deadlines and no priorities. A viewer sends commands, which are few, small and all wanted.
 * @module
 */

/** What a peer lets us send before its first acknowledgement, in bytes. */
export const INITIAL_WINDOW = 65536;
/** Longest payload of a fragment, in bytes: with its header it fits an Ethernet packet. */
export const FRAGMENT_BYTES = 1400;

/** A flow that this side sends on. Made by the session; an application keeps it as a handle. */
export class SendFlow {
	/** Our number of the flow. */
	id;

	/** @type {Uint8Array | undefined} What the opening frame still has to say. */
	#opening;
	#answers;

	/** @type {Uint8Array[]} */
	#queue = [];
	/** How much of the first in the queue has gone out. */
	#offset = 0;
	#abandoned = 0;

	#sent = 0;
	#acknowledged = 0;
	#allowed = INITIAL_WINDOW;

	/** @type {"open" | "finishing" | "finished"} */
	#state = "open";

	/**
	 * @param {number} id
	 * @param {Uint8Array} metadata
	 * @param {number} [answers] the peer's flow that this is a return flow of
	 */
	constructor(id, metadata, answers) {
		this.id = id;
		this.#opening = metadata;
		this.#answers = answers;
	}

	/**
	 * Queues a message.
	 *
	 * @param {Uint8Array} payload
	 * @returns {boolean} whether the flow is still open
	 */
	write(payload) {
		if (this.#state !== "open") return false;
		this.#queue.push(payload);
		return true;
	}

	/** Says that nothing follows what is queued. */
	finish() {
		if (this.#state === "open") this.#state = "finishing";
	}

	/** The peer does not want it: what is queued will not be sent. */
	handleException() {
		this.#abandoned += this.#queue.length;
		this.#queue = [];
		this.#offset = 0;
		this.finish();
	}

	/**
	 * @param {number} delta
	 * @param {number} advertisement
	 */
	handleAck(delta, advertisement) {
		this.#acknowledged += delta;
		this.#allowed = this.#acknowledged + advertisement;
	}

	/**
	 * The one frame whose turn it is.
	 *
	 * @returns {import("../../wire/frame.js").Frame | undefined}
	 */
	pollFrame() {
		const flow = this.id;
		if (this.#opening) {
			const metadata = this.#opening;
			this.#opening = undefined;
			return { type: "open", flow, answers: this.#answers, metadata };
		}
		if (this.#abandoned > 0) {
			const messages = this.#abandoned;
			this.#abandoned = 0;
			return { type: "abandon", flow, messages };
		}
		if (this.#queue.length > 0) return this.#pollFragment();
		if (this.#state === "finishing") {
			this.#state = "finished";
			return { type: "close", flow };
		}
		return undefined;
	}

	/**
	 * Counts a data frame that has gone out.
	 *
	 * @param {number} frameBytes
	 */
	handleSent(frameBytes) {
		this.#sent += frameBytes;
	}

	/** Bytes sent and not yet acknowledged. */
	get inFlight() {
		return this.#sent - this.#acknowledged;
	}

	/** Whether messages may still be written. */
	get isOpen() {
		return this.#state === "open";
	}

	/** Whether its closing frame has gone out. */
	get isFinished() {
		return this.#state === "finished";
	}

	/** @returns {import("../../wire/frame.js").Frame | undefined} */
	#pollFragment() {
		const room = Math.min(FRAGMENT_BYTES, this.#allowed - this.#sent);
		if (room <= 0) return undefined;
		const message = this.#queue[0];
		const payload = message.subarray(this.#offset, this.#offset + room);
		this.#offset += payload.length;
		const more = this.#offset < message.length;
		if (!more) {
			this.#queue.shift();
			this.#offset = 0;
		}
		return { type: "data", flow: this.id, more, payload };
	}
}
