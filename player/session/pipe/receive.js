// @ts-check
/**
 * One flow that the peer sends on: reassembly, message numbers, and what is owed to the peer in acknowledgements.
 * @module
 */

import { IncomingFlow, MAX_MESSAGE_BYTES } from "../incoming.js";
import { PeerMisbehaved } from "../misbehaved.js";

/** @typedef {import("../session.js").FlowEvent} FlowEvent */

/** A flow that the peer sends on, in fragments. */
export class ReceiveFlow extends IncomingFlow {
	#finished = false;

	/** @type {Uint8Array[]} */
	#fragments = [];
	#assembling = false;
	#assembledBytes = 0;
	#nextNumber = 1;

	#unacknowledged = 0;
	#lastAdvertisement = 0;

	/** Ends what the peer may say on it; its bytes are still counted, since the peer's own accounts need that. */
	reject() {
		super.reject();
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
	 * @returns {FlowEvent | undefined} the message, when this was its last fragment and somebody wants it
	 * @throws {PeerMisbehaved} when the message grows too long
	 */
	handleData(more, payload, frameBytes) {
		this.#unacknowledged += frameBytes;
		if (!this.#assembling) {
			this.#assembling = true;
			this.#nextNumber++;
		}
		if (this.isOpen) {
			this.#fragments.push(payload);
			this.#assembledBytes += payload.length;
			if (this.#assembledBytes > MAX_MESSAGE_BYTES) throw new PeerMisbehaved("a message is too long");
		}
		if (more) return undefined;
		const message = concat(this.#fragments, this.#assembledBytes);
		this.#forgetPartial();
		if (!this.isOpen) return undefined;
		return { type: "message", flow: this, number: this.#nextNumber - 1, payload: message };
	}

	/**
	 * Takes an abandonment: the message being assembled, if there is one, is the first of those that will not come.
	 *
	 * @param {number} messages
	 * @returns {FlowEvent | undefined}
	 */
	handleAbandon(messages) {
		this.#nextNumber += this.#assembling ? messages - 1 : messages;
		this.#forgetPartial();
		return this.isOpen ? { type: "gap", flow: this, messages } : undefined;
	}

	/**
	 * Settles what is owed.
	 *
	 * @returns {{ delta: number, advertisement: number }}
	 */
	acknowledge() {
		const delta = this.#unacknowledged;
		this.#unacknowledged = 0;
		this.#lastAdvertisement = this.room;
		return { delta, advertisement: this.#lastAdvertisement };
	}

	/** Whether so much is unacknowledged that the peer may soon have to stop. */
	get owesAcknowledgement() {
		return this.#unacknowledged >= this.#lastAdvertisement / 2;
	}

	/** Whether the peer has finished it. */
	get isFinished() {
		return this.#finished;
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
