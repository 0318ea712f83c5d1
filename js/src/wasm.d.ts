// The wasm-bindgen module, as far as it is used here. The build finds it under target/web/pkg.

declare module "datasync-wasm" {
  import type { RawMedium } from "./engine.ts";

  export default function init(options: { module_or_path: WebAssembly.Module }): Promise<unknown>;
  export class Medium implements RawMedium {
    static opfs(name: string, options: string): Promise<Medium>;
    static indexeddb(name: string, options: string): Promise<Medium>;
    static memory(name: string): Medium;
    start(options: string): import("./engine.ts").RawSession;
  }
  export function importStore(backend: string, name: string, files: { name: string; bytes: Uint8Array }[]): Promise<void>;
}
