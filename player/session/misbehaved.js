// @ts-check
/** A peer broke a rule of the protocol: the connection is to be closed. */
export class PeerMisbehaved extends Error {
	name = "PeerMisbehaved";
}
