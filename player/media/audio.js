// @ts-check
/**
 * Audio from units to the ring on the audio thread, and back from there the clock.
 *
 * While nobody can hear it (muted, or the browser refuses to play) there is no output, and nothing is decoded.
 * @module
 */

import { AudioClock } from "./audio-clock.js";
import { aacConfig } from "./codec.js";
import { steer } from "./pace.js";

/** A unit this much older than what is due is not even decoded, in milliseconds: two frames, one of which primes the decoder. */
const LATE_MS = 50;
/** How many units may wait in the decoder: one that hangs must not fill the memory. */
const MAX_DECODING = 64;

/** @typedef {{ sampleRate: number, channels: number }} AudioFormat */

/**
 * @typedef {object} AudioHandlers
 * @property {(format: AudioFormat) => void} handleFormat an output of this format is wanted
 * @property {(message: string) => void} handleTrouble something is wrong that a person may want to know
 * @property {(pace: number) => void} handlePace it goes on at another pace
 * @property {(ms: number) => void} handleSkip it has skipped so much to what is due
 */

/** A stream's audio. */
export class AudioTrack {
	/** Seconds of sound that were played. */
	seconds = 0;
	/** How often it ran out. */
	underruns = 0;

	#schedule;
	#handlers;
	/** Time of the newest unit: what comes twice is played once. */
	#newest = -Infinity;
	/** When playing began. */
	#since = Infinity;
	#pace = 1;
	/** Number of the last order to play: older reports are of what it has ended. */
	#turn = 0;
	/** @type {AudioDecoder | undefined} */
	#decoder;
	/** @type {number[]} Times of the units in the decoder; it puts out a chunk for each, but its own idea of their times. */
	#decoding = [];
	#isFirst = true;
	/** @type {AudioDecoderConfig | undefined} */
	#config;
	/** @type {AudioFormat | undefined} */
	#format;
	/** @type {{ port: MessagePort, format: AudioFormat, latencyMs: number, secondsBefore: number, underruns: number } | undefined} */
	#output;
	#clock = new AudioClock();

	/**
	 * @param {import("./schedule.js").Schedule} schedule
	 * @param {AudioHandlers} handlers
	 */
	constructor(schedule, handlers) {
		this.#schedule = schedule;
		this.#handlers = handlers;
	}

	/**
	 * Gives it an output, or takes it away.
	 *
	 * @param {{ port: MessagePort, format: AudioFormat } | undefined} output
	 */
	setOutput(output) {
		this.#output?.port.close();
		this.reset();
		this.#output = output && { ...output, latencyMs: 0, secondsBefore: this.seconds, underruns: 0 };
		this.#turn = 0;
		if (!output) return this.#closeDecoder();
		output.port.onmessage = ({ data }) => this.#handleReport(performance.now(), data);
	}

	/**
	 * How long a sample takes from the ring to the ear.
	 *
	 * @param {number} ms
	 */
	setLatency(ms) {
		if (this.#output) this.#output.latencyMs = ms;
	}

	/**
	 * Takes a unit.
	 *
	 * @param {number} now
	 * @param {import("./flv.js").Unit} unit
	 * @param {number} time its timestamp, on the stream's time line
	 */
	push(now, { kind, payload }, time) {
		if (kind === "configuration") return this.#configure(payload);
		if (kind === "unsupported") return this.#handlers.handleTrouble("this player does not know the audio codec");
		const isKnown = time <= this.#newest;
		this.#newest = Math.max(this.#newest, time);
		if (isKnown || !this.#output || !this.#config || time + LATE_MS < (this.#schedule.due(now) ?? -Infinity)) return;
		this.#decoder ??= this.#open(this.#config);
		if (this.#decoding.length > MAX_DECODING) return;
		this.#decoding.push(time);
		try {
			this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: time * 1000, data: payload }));
		} catch (error) {
			this.#handleDecoderError(this.#decoder, error);
		}
	}

	/** Falls silent; goes on with what comes. */
	reset() {
		this.#newest = -Infinity;
		this.#since = Infinity;
		this.#pace = 1;
		this.#output?.port.postMessage({ clear: true, turn: ++this.#turn });
		this.#clock.reset();
	}

	/** How fast it plays; 1 is as it is. */
	get pace() {
		return this.#pace;
	}

	/**
	 * The stream time that is heard now, in milliseconds.
	 *
	 * @param {number} now
	 * @returns {number | undefined} nothing while audio does not lead
	 */
	time(now) {
		const time = this.#output && this.#clock.time(now);
		return time === undefined ? undefined : time - (this.#output?.latencyMs ?? 0);
	}

	/** @param {Uint8Array} record */
	#configure(record) {
		const config = aacConfig(record);
		if (!config) return this.#handlers.handleTrouble("the audio's configuration makes no sense");
		this.#config = config;
		this.#closeDecoder();
		this.#want({ sampleRate: config.sampleRate, channels: config.numberOfChannels });
	}

	/** @param {AudioFormat} format */
	#want(format) {
		if (this.#format?.sampleRate === format.sampleRate && this.#format.channels === format.channels) return;
		this.#format = format;
		this.#handlers.handleFormat(format);
	}

	/** @param {AudioDecoderConfig} config */
	#open(config) {
		/** @type {AudioDecoder} */
		const decoder = new AudioDecoder({
			output: (data) => {
				if (decoder === this.#decoder) this.#handleDecoded(data);
				data.close();
			},
			error: (error) => this.#handleDecoderError(decoder, error),
		});
		try {
			decoder.configure(config);
		} catch (error) {
			this.#handlers.handleTrouble(`this browser does not play ${config.codec}: ${error}`);
		}
		return decoder;
	}

	/** @param {AudioData} data */
	#handleDecoded(data) {
		const time = this.#timeOf(data);
		// What the configuration says is only half of the truth when the bands are extended implicitly.
		this.#want({ sampleRate: data.sampleRate, channels: data.numberOfChannels });
		if (!this.#output || this.#output.format.sampleRate !== data.sampleRate) return;
		const planes = Array.from({ length: data.numberOfChannels }, (_, planeIndex) => {
			const plane = new Float32Array(data.numberOfFrames);
			data.copyTo(plane, { planeIndex, format: "f32-planar" });
			return plane;
		});
		const message = { time, planes };
		this.#output.port.postMessage(message, planes.map((plane) => plane.buffer));
	}

	/**
	 * When a chunk is to be heard. Chromium counts samples from the first chunk on, so that its times know nothing of
	 * gaps; others begin with the second. So the first is found by its time, and the rest follow one by one.
	 *
	 * @param {AudioData} data
	 * @returns {number} in milliseconds
	 */
	#timeOf({ timestamp }) {
		const time = timestamp / 1000;
		if (this.#isFirst) while (this.#decoding.length > 1 && this.#decoding[1] <= time) this.#decoding.shift();
		this.#isFirst = false;
		return this.#decoding.shift() ?? time;
	}

	/**
	 * @param {number} now
	 * @param {import("./ring.js").Report & { turn: number }} report
	 */
	#handleReport(now, report) {
		if (!this.#output || report.turn !== this.#turn) return;
		this.seconds = this.#output.secondsBefore + report.seconds;
		this.#clock.handleReport(now, report);
		if (report.underruns > this.#output.underruns) {
			this.#output.underruns = report.underruns;
			this.underruns++;
			this.#schedule.handleUnderrun(now);
		}
		const due = this.#schedule.due(now);
		if (due === undefined) return;
		if (report.playing) this.#steer(now, report.time, due);
		else if (due >= report.time) this.#play(now, due);
	}

	/**
	 * @param {number} now
	 * @param {number} reported
	 * @param {number} due
	 */
	#steer(now, reported, due) {
		const position = this.#clock.time(now) ?? reported;
		const { pace, skipTo } = steer({ position, pace: this.#pace, due, sinceMs: now - this.#since });
		if (skipTo !== undefined) {
			this.#play(now, skipTo);
			this.#handlers.handleSkip(skipTo - position);
		} else if (pace !== this.#pace) {
			this.#pace = pace;
			this.#output?.port.postMessage({ pace });
			this.#handlers.handlePace(pace);
		}
	}

	/**
	 * @param {number} now
	 * @param {number} from
	 */
	#play(now, from) {
		if (this.#since === Infinity) this.#since = now;
		this.#pace = 1;
		this.#output?.port.postMessage({ play: from, turn: ++this.#turn });
		this.#clock.reset();
	}

	/**
	 * A decoder that failed is of no more use; the next unit gets a new one.
	 *
	 * @param {AudioDecoder} decoder
	 * @param {unknown} error
	 */
	#handleDecoderError(decoder, error) {
		if (decoder !== this.#decoder) return;
		this.#handlers.handleTrouble(`audio decoding failed: ${error}`);
		this.#closeDecoder();
	}

	#closeDecoder() {
		if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
		this.#decoder = undefined;
		this.#decoding = [];
		this.#isFirst = true;
	}
}
