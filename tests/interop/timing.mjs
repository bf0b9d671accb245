// Times ts-mls on one group, for the bench: the same operations that our library is timed on, inside this process.
//
//   node timing.mjs ROUNDS  <  {"notBefore": 0, "notAfter": 0}
//
// Line 1 of the output is {"keyPackage": base64}: the member to add. Input line 2 is {"welcome", "update", "notice"}:
// a Welcome for it, the path update of the next epoch, and a text to send. Line 2 of the output is {"join", "update", "send"}:
// milliseconds of each round, joining anew from the Welcome, processing one update after joining, and sending one
// message from an encoded state.
import * as readline from "node:readline"
import * as mls from "ts-mls"

const SUITE = "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
const suite = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(SUITE))
const rounds = Number(process.argv[2])
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const next = async () => JSON.parse((await lines.next()).value)
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"))
const write = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
const decode = (text) => mls.decodeMlsMessage(bytes(text), 0)[0]

async function timed(act) {
  const began = performance.now()
  const result = await act()
  return [performance.now() - began, result]
}

const { notBefore, notAfter } = await next()
const credential = { credentialType: "basic", identity: new TextEncoder().encode("ts-mls") }
const capabilities = {
  versions: ["mls10"],
  ciphersuites: [SUITE],
  extensions: [],
  proposals: [],
  credentials: ["basic"],
}
const lifetime = { notBefore: BigInt(notBefore), notAfter: BigInt(notAfter) }
const own = await mls.generateKeyPackage(credential, capabilities, lifetime, [], suite)
const encoded = mls.encodeMlsMessage({
  version: "mls10",
  wireformat: "mls_key_package",
  keyPackage: own.publicPackage,
})
write({ keyPackage: Buffer.from(encoded).toString("base64") })

const { welcome, update, notice } = await next()
const join = () =>
  mls.joinGroup(decode(welcome).welcome, own.publicPackage, own.privatePackage, mls.emptyPskIndex, suite)
const follow = (state) => mls.processMessage(decode(update), state, mls.emptyPskIndex, mls.acceptAll, suite)
const text = bytes(notice)
const times = { join: [], update: [], send: [] }
for (let round = 0; round < rounds; round += 1) {
  const [joining, joined] = await timed(join)
  const [following, { newState }] = await timed(() => follow(joined))
  const saved = mls.encodeGroupState(newState)
  const [sending] = await timed(async () => {
    const [state] = mls.decodeGroupState(saved, 0)
    const sent = await mls.createApplicationMessage({ ...newState, ...state }, text, suite)
    mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_private_message", privateMessage: sent.privateMessage })
    return mls.encodeGroupState(sent.newState)
  })
  times.join.push(joining)
  times.update.push(following)
  times.send.push(sending)
}
write(times)
