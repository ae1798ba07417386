// @ts-check
/**
 * Pictures of streams that nobody plays: the newest key frame, which the gateway cuts out as a file of one frame, drawn by the
 * browser's own decoder. That works in every browser that plays the stream at all, in pages without TLS too, and costs the
 * gateway a copy.
 * @module
 */

/** How old a picture may get, in milliseconds. */
const REFRESH_MS = 10_000;
/** When one that could not be had is tried again, in milliseconds. */
const RETRY_MS = 3000;
/** A browser that has not decoded one by then won't, in milliseconds. */
const PATIENCE_MS = 4000;
/** A picture's width, in pixels: as much as a card has on most screens. */
const WIDTH = 640;

/** Draws them, one at a time: each needs a decoder for a moment. */
export class Thumbnails {
	/** @type {Map<HTMLCanvasElement, { url: string, due: number, visible: boolean }>} */
	#watched = new Map();
	#observer = new IntersectionObserver((entries) => this.#handleSeen(entries), { rootMargin: "200px" });
	#running = false;

	constructor() {
		setInterval(() => this.#run(), 1000);
	}

	/**
	 * @param {HTMLCanvasElement} canvas
	 * @param {string} url of a file with a key frame
	 */
	watch(canvas, url) {
		this.#watched.set(canvas, { url, due: 0, visible: false });
		this.#observer.observe(canvas);
	}

	/** @param {HTMLCanvasElement} canvas */
	forget(canvas) {
		this.#watched.delete(canvas);
		this.#observer.unobserve(canvas);
	}

	/** @param {IntersectionObserverEntry[]} entries */
	#handleSeen(entries) {
		for (const { target, isIntersecting } of entries) {
			const watched = this.#watched.get(/** @type {HTMLCanvasElement} */ (target));
			if (watched) watched.visible = isIntersecting;
		}
		this.#run();
	}

	async #run() {
		if (this.#running || document.visibilityState !== "visible") return;
		this.#running = true;
		for (const [canvas, watched] of this.#watched) {
			if (!watched.visible || watched.due > performance.now()) continue;
			const isDrawn = await draw(canvas, watched.url).catch(() => false);
			watched.due = performance.now() + (isDrawn ? REFRESH_MS : RETRY_MS);
		}
		this.#running = false;
	}
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} url
 * @returns {Promise<boolean>} whether there was one
 */
async function draw(canvas, url) {
	const answer = await fetch(url, { cache: "no-store" });
	if (!answer.ok) return false;
	const video = document.createElement("video");
	video.muted = true;
	video.playsInline = true;
	video.preload = "auto";
	const file = URL.createObjectURL(await answer.blob());
	try {
		const { promise, resolve, reject } = Promise.withResolvers();
		const timer = setTimeout(() => reject(new Error("no picture in time")), PATIENCE_MS);
		video.onloadeddata = resolve;
		video.onerror = () => reject(video.error);
		video.src = file;
		await promise;
		clearTimeout(timer);
		canvas.width = Math.min(WIDTH, video.videoWidth);
		canvas.height = Math.round((canvas.width * video.videoHeight) / video.videoWidth);
		canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
		canvas.classList.add("drawn");
		return true;
	} finally {
		video.removeAttribute("src");
		video.load();
		URL.revokeObjectURL(file);
	}
}
