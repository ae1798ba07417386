// @ts-check
/** The wire vectors, shared with the Rust tests. */

import { readFileSync } from "node:fs";

/** @typedef {{ name: string, direction: string, hex: string, meaning: string }} Vector */

/** @typedef {{ name: string, steps: { lane: number, hex: string, end?: "finish" | "reset" }[], events: string[] }} LaneVector */

/** @type {Vector[]} */
const all = read("rtwebsocket.json");

/** What comes on lanes, and what it is to a receiver. @type {LaneVector[]} */
export const lanes = read("lanes.json");

const messages = all.filter(({ direction }) => direction !== "vlu");

/** RTWebSocket messages. */
export const frames = messages.filter(({ name }) => !/UNKNOWN|MALFORMED/.test(name));
/** What probes sent that is to be refused. */
export const malformed = messages.filter(({ name }) => name.includes("MALFORMED"));
/** What probes sent that is to be ignored. */
export const unknown = messages.filter(({ name }) => name.includes("UNKNOWN"));
/** Numbers. */
export const numbers = all.filter(({ direction }) => direction === "vlu");

/** @param {string} file */
function read(file) {
	return JSON.parse(readFileSync(new URL(`../../vectors/${file}`, import.meta.url), "utf8"));
}

/**
 * @param {string} hex
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function bytes(hex) {
	return Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function hex(bytes) {
	return Buffer.from(bytes).toString("hex");
}
