// @ts-check
/**
 * One flow that this side sends on: one group for ever, and so one lane.
 *
 * Invariant: no deadlines and no priorities. A viewer sends commands, which are few, small and all wanted.
 * @module
 */

import { encodeGroupHeader, encodeLaneMessage } from "../../wire/lane.js";

/** A flow that this side sends on. Made by the session; an application keeps it as a handle. */
export class SendFlow {
	/** Our number of the flow. */
	id;

	/** @type {Uint8Array<ArrayBuffer>[]} */
	#queue = [];
	/** How many messages it has had. */
	messages = 0;

	/** @type {number | undefined} Its lane among ours; nothing before its first message goes out. */
	#lane;
	/** @type {"open" | "finishing" | "finished"} */
	#state = "open";
	#isWanted = true;

	/** @param {number} id */
	constructor(id) {
		this.id = id;
	}

	/**
	 * Queues a message.
	 *
	 * @param {Uint8Array} payload
	 * @returns {boolean} whether the flow is still open
	 */
	write(payload) {
		if (this.#state !== "open") return false;
		this.#queue.push(encodeLaneMessage(0, payload));
		this.messages++;
		return true;
	}

	/** Says that nothing follows what is queued. */
	finish() {
		if (this.#state === "open") this.#state = "finishing";
	}

	/** The peer does not want it: what is queued will not be sent. */
	handleException() {
		this.#queue = [];
		this.#isWanted = false;
		this.finish();
	}

	/**
	 * What is to go out.
	 *
	 * @param {() => number} openLane
	 * @returns {import("./session.js").LaneTransmit | undefined}
	 */
	pollTransmit(openLane) {
		const message = this.#queue.shift();
		if (message) {
			if (this.#lane !== undefined) return { type: "write", lane: this.#lane, bytes: message };
			this.#lane = openLane();
			this.#queue.unshift(message);
			return { type: "write", lane: this.#lane, bytes: encodeGroupHeader({ flow: this.id, lane: 0, first: 1 }) };
		}
		if (this.#state !== "finishing") return undefined;
		this.#state = "finished";
		if (this.#lane === undefined) return undefined;
		return this.#isWanted ? { type: "finish", lane: this.#lane } : { type: "reset", lane: this.#lane };
	}

	/** Whether messages may still be written. */
	get isOpen() {
		return this.#state === "open";
	}

	/** Whether nothing more of it will go out. */
	get isFinished() {
		return this.#state === "finished";
	}

	/** How many lanes it has had. */
	get lanes() {
		return this.#lane === undefined ? 0 : 1;
	}
}
