// @ts-check
/**
 * One flow that the peer sends on: reassembly, message numbers, and what is owed to the peer in acknowledgements.
 * @module
 */

import { PeerMisbehaved } from "./misbehaved.js";

/** Window of a flow unless {@link ReceiveFlow.accept} is given another: what genuine peers grant. */
export const DEFAULT_WINDOW = 2097151;
/** Longest message, in bytes: a peer that never ends one would otherwise fill the memory. */
export const MAX_MESSAGE_BYTES = 16 << 20;

/**
 * What a flow's application learns of it.
 *
 * @typedef {{ type: "opened", flow: ReceiveFlow }
 *   | { type: "message", flow: ReceiveFlow, number: number, payload: Uint8Array }
 *   | { type: "gap", flow: ReceiveFlow, messages: number }
 *   | { type: "closed", flow: ReceiveFlow }} ReceiveEvent
 */

/** A flow that the peer sends on. Made by the session; an application keeps it as a handle. */
export class ReceiveFlow {
	/** The peer's number of the flow. */
	id;
	/** What it is for, in the application's terms. */
	metadata;
	/** The flow of ours that it answers. */
	answers;

	/** @type {"offered" | "open" | "rejected"} */
	#state = "offered";
	#window = DEFAULT_WINDOW;
	#finished = false;

	/** @type {Uint8Array[]} */
	#fragments = [];
	#assembling = false;
	#assembledBytes = 0;
	#nextNumber = 1;

	#unacknowledged = 0;
	#lastAdvertisement = 0;

	/** @type {ReceiveEvent[] | undefined} What is kept back while paused. */
	#held;
	#heldBytes = 0;

	/**
	 * @param {number} id
	 * @param {Uint8Array} metadata
	 * @param {import("./send.js").SendFlow} [answers]
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

	/** Ends what the peer may say on it; its bytes are still counted, since the peer's own accounts need that. */
	reject() {
		this.#state = "rejected";
		this.#forgetPartial();
	}

	/** Notes that the peer has finished it. */
	finish() {
		this.#finished = true;
		this.#forgetPartial();
	}

	/**
	 * Takes a fragment.
	 *
	 * @param {boolean} more
	 * @param {Uint8Array} payload
	 * @param {number} frameBytes length of the whole data frame, which is what is acknowledged
	 * @returns {ReceiveEvent | undefined} the message, when this was its last fragment and somebody wants it
	 * @throws {PeerMisbehaved} when the message grows too long
	 */
	handleData(more, payload, frameBytes) {
		this.#unacknowledged += frameBytes;
		if (!this.#assembling) {
			this.#assembling = true;
			this.#nextNumber++;
		}
		if (this.#state === "open") {
			this.#fragments.push(payload);
			this.#assembledBytes += payload.length;
			if (this.#assembledBytes > MAX_MESSAGE_BYTES) throw new PeerMisbehaved("a message is too long");
		}
		if (more) return undefined;
		const message = concat(this.#fragments, this.#assembledBytes);
		this.#forgetPartial();
		if (this.#state !== "open") return undefined;
		return { type: "message", flow: this, number: this.#nextNumber - 1, payload: message };
	}

	/**
	 * Takes an abandonment: the message being assembled, if there is one, is the first of those that will not come.
	 *
	 * @param {number} messages
	 * @returns {ReceiveEvent | undefined}
	 */
	handleAbandon(messages) {
		this.#nextNumber += this.#assembling ? messages - 1 : messages;
		this.#forgetPartial();
		return this.#state === "open" ? { type: "gap", flow: this, messages } : undefined;
	}

	/**
	 * Keeps an event back, when the flow is paused.
	 *
	 * @param {ReceiveEvent} event
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

	/** Keeps what comes from now on back, until {@link ReceiveFlow.resume}. */
	pause() {
		this.#held ??= [];
	}

	/** @returns {ReceiveEvent[]} what was kept back */
	resume() {
		const held = this.#held ?? [];
		this.#held = undefined;
		this.#heldBytes = 0;
		return held;
	}

	/**
	 * Settles what is owed.
	 *
	 * @returns {{ delta: number, advertisement: number }}
	 */
	acknowledge() {
		const delta = this.#unacknowledged;
		this.#unacknowledged = 0;
		this.#lastAdvertisement = this.#advertisement;
		return { delta, advertisement: this.#lastAdvertisement };
	}

	/** Whether so much is unacknowledged that the peer may soon have to stop. */
	get owesAcknowledgement() {
		return this.#unacknowledged >= this.#lastAdvertisement / 2;
	}

	/** Whether nobody has decided about it yet. */
	get isOffered() {
		return this.#state === "offered";
	}

	/** Whether the peer has finished it. */
	get isFinished() {
		return this.#finished;
	}

	get #advertisement() {
		return this.#state === "open" ? Math.max(this.#window - this.#heldBytes, 0) : 0;
	}

	#forgetPartial() {
		this.#fragments = [];
		this.#assembledBytes = 0;
		this.#assembling = false;
	}
}

/**
 * @param {Uint8Array[]} fragments
 * @param {number} length
 */
function concat(fragments, length) {
	if (fragments.length === 1) return fragments[0];
	const whole = new Uint8Array(length);
	let at = 0;
	for (const fragment of fragments) {
		whole.set(fragment, at);
		at += fragment.length;
	}
	return whole;
}
