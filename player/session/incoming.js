// @ts-check
/**
 * One flow that the peer sends on, as an application sees it on every wire: offered, then taken or not, and kept back while
 * paused.
 * @module
 */

import { PeerMisbehaved } from "./misbehaved.js";

/** Window of a flow unless {@link IncomingFlow.accept} is given another: what genuine peers grant. */
export const DEFAULT_WINDOW = 2097151;
/** Longest message, in bytes: a peer that never ends one would otherwise fill the memory. */
export const MAX_MESSAGE_BYTES = 16 << 20;

/** @typedef {import("./session.js").FlowEvent} FlowEvent */

/** A flow that the peer sends on. Made by the session; an application keeps it as a handle. */
export class IncomingFlow {
	/** The peer's number of the flow. */
	id;
	/** What it is for, in the application's terms. */
	metadata;
	/** The flow of ours that it answers. */
	answers;

	/** @type {"offered" | "open" | "rejected"} */
	#state = "offered";
	#window = DEFAULT_WINDOW;
	/** @type {FlowEvent[] | undefined} What is kept back while paused. */
	#held;
	#heldBytes = 0;

	/**
	 * @param {number} id
	 * @param {Uint8Array} metadata
	 * @param {import("./session.js").OutgoingFlow} [answers]
	 */
	constructor(id, metadata, answers) {
		this.id = id;
		this.metadata = metadata;
		this.answers = answers;
	}

	/**
	 * Takes the flow. One that is not accepted before the event after its opening is taken is rejected.
	 *
	 * @param {number} [window] bytes the peer may have unacknowledged
	 */
	accept(window = DEFAULT_WINDOW) {
		if (this.#state !== "offered") return;
		this.#state = "open";
		this.#window = window;
	}

	/** Ends what the peer may say on it. */
	reject() {
		this.#state = "rejected";
	}

	/**
	 * Keeps an event back, when the flow is paused.
	 *
	 * @param {FlowEvent} event
	 * @returns {boolean} whether it was kept
	 * @throws {PeerMisbehaved} when a peer sends on regardless of its window
	 */
	hold(event) {
		if (!this.#held) return false;
		this.#held.push(event);
		if (event.type === "message") this.#heldBytes += event.payload.length;
		if (this.#heldBytes > this.#window + MAX_MESSAGE_BYTES) throw new PeerMisbehaved("the window is exceeded");
		return true;
	}

	/** Keeps what comes from now on back, until {@link IncomingFlow.resume}. */
	pause() {
		this.#held ??= [];
	}

	/** @returns {FlowEvent[]} what was kept back */
	resume() {
		const held = this.#held ?? [];
		this.#held = undefined;
		this.#heldBytes = 0;
		return held;
	}

	/** Whether nobody has decided about it yet. */
	get isOffered() {
		return this.#state === "offered";
	}

	/** Whether it was taken. */
	get isOpen() {
		return this.#state === "open";
	}

	/** Whether it was refused. */
	get isRejected() {
		return this.#state === "rejected";
	}

	/** Bytes that the peer may have unacknowledged, without those that are kept back. */
	get room() {
		return this.#state === "open" ? Math.max(this.#window - this.#heldBytes, 0) : 0;
	}
}
