// @ts-check
/**
 * What a conversation needs of a session, whatever wire carries it. Flows, events and rules are one; {@link
 * import("./pipe/session.js").PipeSession} lays them onto one pipe, {@link import("./streams/session.js").StreamsSession} onto
 * many streams.
 *
 * After any call that changes a session: drain `pollEvent`, then what it transmits, then re-arm a timer for `pollTimeout`.
 * Times are milliseconds of one monotonic clock, given by the caller.
 *
 * Invariant: a session reads no clock, socket or random source.
 * @module
 */

/** How many flows a peer may have open: one that keeps opening them would otherwise fill the memory. */
export const MAX_FLOWS = 256;

/** @typedef {import("./incoming.js").IncomingFlow} IncomingFlow */

/**
 * A flow that this side sends on. `write` says whether the flow is still open.
 *
 * @typedef {{ readonly id: number, readonly isOpen: boolean, write: (payload: Uint8Array) => boolean, finish: () => void }} OutgoingFlow
 */

/**
 * What happened on a flow of the peer's. The number is the message's in its flow, from 1; 0 for a lane's preamble, which is none.
 *
 * @typedef {{ type: "opened", flow: IncomingFlow }
 *   | { type: "message", flow: IncomingFlow, number: number, payload: Uint8Array }
 *   | { type: "gap", flow: IncomingFlow, messages: number }
 *   | { type: "closed", flow: IncomingFlow }} FlowEvent
 */

/**
 * What the peer did. `silent`: nothing has come for so long that the connection must be dead.
 *
 * @typedef {FlowEvent
 *   | { type: "rejected", flow: OutgoingFlow, reason?: number, text?: string }
 *   | { type: "silent" }} SessionEvent
 */

/**
 * @typedef {object} Session
 * @property {import("./ping.js").Ping | undefined} ping what finds out about the round trip and `silent`, on wires that have pings
 * @property {(metadata: Uint8Array, answers?: IncomingFlow) => OutgoingFlow} open opens a flow to the peer
 * @property {(now: number, flow: IncomingFlow, reason?: number, text?: string) => void} reject ends a flow of the peer's
 * @property {(flow: IncomingFlow) => void} pause keeps a flow's events back
 * @property {(now: number, flow: IncomingFlow) => void} resume lets them come, those that were kept back first
 * @property {(now: number) => SessionEvent | undefined} pollEvent what happened, oldest first
 * @property {(now: number) => void} handleTimeout does what is due
 * @property {() => number} pollTimeout when that is; `Infinity` for never
 */
