// @ts-check
/** One lane of the peer's: its header, and the messages that came on it and were not yet handed up. */

import { LaneDecoder } from "../../wire/lane.js";

/** @typedef {Extract<import("../../wire/lane.js").LaneItem, { type: "message" }>} LaneMessage */

/** A lane that the peer opened. */
export class Lane {
	/** The driver's number of it. */
	id;
	/** What its bytes mean. */
	decoder = new LaneDecoder();
	/** Its number in its flow. */
	number = 0;
	/** Number of the message that would be its first. */
	first = 0;
	/** @type {Uint8Array} What stands before its first message. */
	preamble = new Uint8Array();
	/** When its first whole message came. */
	firstMessageAt = Infinity;
	/** Whether nothing more of it comes. */
	hasEnded = false;

	/** @type {LaneMessage[]} */
	#messages = [];
	#messageBytes = 0;

	/** @param {number} id */
	constructor(id) {
		this.id = id;
	}

	/** @param {Extract<import("../../wire/lane.js").LaneItem, { type: "group" }>} header */
	setHeader({ lane, first, preamble }) {
		this.number = lane;
		this.first = first;
		this.preamble = preamble;
	}

	/**
	 * @param {number} now
	 * @param {LaneMessage} message
	 */
	pushMessage(now, message) {
		this.#messages.push(message);
		this.#messageBytes += message.payload.length;
		if (this.firstMessageAt === Infinity) this.firstMessageAt = now;
	}

	/** @returns {LaneMessage[]} what has come since the last call */
	takeMessages() {
		this.#messageBytes = 0;
		return this.#messages.splice(0);
	}

	/** Bytes that wait here. */
	get heldBytes() {
		return this.#messageBytes + this.decoder.bufferedBytes;
	}
}
