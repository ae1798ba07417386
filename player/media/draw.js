// @ts-check

/** @typedef {OffscreenCanvas | HTMLCanvasElement} Canvas */
/** @typedef {OffscreenCanvasRenderingContext2D | CanvasRenderingContext2D} Context */

/** @type {WeakMap<Canvas, Context | null>} Firefox 153 paints no more when a canvas of a worker is asked for its context again. */
const contexts = new WeakMap();

/**
 * Draws a frame in its own size, and closes it.
 *
 * @param {Canvas} canvas
 * @param {VideoFrame} frame
 */
export function drawFrame(canvas, frame) {
	if (canvas.width !== frame.displayWidth) canvas.width = frame.displayWidth;
	if (canvas.height !== frame.displayHeight) canvas.height = frame.displayHeight;
	if (!contexts.has(canvas)) contexts.set(canvas, /** @type {Context | null} */ (canvas.getContext("2d", { alpha: false })));
	contexts.get(canvas)?.drawImage(frame, 0, 0);
	frame.close();
}
