// A Nostr client on nostr-tools for the interop test: JSON lines in, JSON lines out, one answer for each request.
//
// A request names a key (`member`) and an operation; times are seconds.
// An answer is {"ok": true, ...} or {"ok": false, "error": "..."}.
//
//   hold    {key}                           -> {pubkey}   the member's private key, 64 hex digits
//   sign    {kind, tags, content, at}       -> {event}    the event's JSON, as text
//   header  {url, method, payload | null}   -> {header}   an Authorization header's value (NIP-98), of now
//   verify  {event}                         -> {valid}    an event's JSON, as text
//   admit   {header, url, method}           -> {valid}    whether nostr-tools takes the header for that request
import * as readline from "node:readline"
import { finalizeEvent, getPublicKey, verifyEvent } from "nostr-tools/pure"
import * as nip98 from "nostr-tools/nip98"
import { hexToBytes } from "nostr-tools/utils"

const keys = new Map()

const operations = {
  hold(member, { key }) {
    keys.set(member, hexToBytes(key))
    return { pubkey: getPublicKey(keys.get(member)) }
  },
  sign(member, { kind, tags, content, at }) {
    return { event: JSON.stringify(finalizeEvent({ kind, tags, content, created_at: at }, keys.get(member))) }
  },
  async header(member, { url, method, payload }) {
    const sign = (event) => finalizeEvent(event, keys.get(member))
    return { header: await nip98.getToken(url, method, sign, true, payload ?? undefined) }
  },
  verify(_member, { event }) {
    return { valid: verifyEvent(JSON.parse(event)) }
  },
  async admit(_member, { header, url, method }) {
    return { valid: await nip98.validateToken(header, url, method) }
  },
}

async function answer(line) {
  try {
    const { op, member, ...request } = JSON.parse(line)
    return { ok: true, ...(await operations[op](member, request)) }
  } catch (error) {
    return { ok: false, error: String(error.message) }
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`)
}
