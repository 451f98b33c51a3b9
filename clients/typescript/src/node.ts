/**
 * What needs Node's own modules. Browsers never load it.
 *
 * @packageDocumentation
 */
export { FileStore } from "./file-store.js";
