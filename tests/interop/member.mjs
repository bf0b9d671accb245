// ts-mls members for the live interop test: JSON lines in, JSON lines out, one answer for each request, in order.
//
// A request names a member and an operation; the process holds as many members as it was told of. Bytes are base64.
// An answer is {"ok": true, ...} or {"ok": false, "error": "..."}; an operation that failed has changed nothing.
//
//   keyPackage {identity, notBefore, notAfter, grease}  -> {keyPackage}          the member's identity, not joined yet
//   create     {groupId}                                -> {}                    a group of one
//   join       {welcome}                                -> {}
//   send       {plaintext}                              -> {message}
//   receive    {message}                                -> {plaintext | null}    null: a proposal or a commit
//   propose    {kind, keyPackage | leafIndex, public}   -> {message}             kind: add, update or remove
//   commit     {add: [], remove: [], public}            -> {message, welcome}    takes in the proposals that wait
//   view       {}                                       -> {epoch, active, authenticator, treeHash, members}
//   export     {label, context, length}                 -> {secret}
import * as readline from "node:readline"
import * as mls from "ts-mls"
import { signLeafNodeCommit } from "ts-mls/leafNode.js"

const SUITE = "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
const GREASE = [0x0a0a, 0x5a5a, 0xeaea]
const suite = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(SUITE))
const members = new Map()

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"))
const text = (data) => Buffer.from(data).toString("base64")
const encode = (message) => text(mls.encodeMlsMessage({ version: "mls10", ...message }))

function decode(data, ...wireformats) {
  const [message, length] = mls.decodeMlsMessage(bytes(data), 0) ?? []
  if (length !== bytes(data).length) throw new Error("not exactly one MLSMessage")
  if (!wireformats.includes(message.wireformat)) throw new Error(`an unexpected ${message.wireformat}`)
  return message
}

const keyPackageOf = (data) => decode(data, "mls_key_package").keyPackage

function capabilities(grease) {
  const names = grease ? GREASE.map(String) : [] // ts-mls names what it does not know by its number
  const numbers = grease ? GREASE : []
  return {
    versions: ["mls10"],
    ciphersuites: [SUITE, ...names],
    extensions: numbers,
    proposals: numbers,
    credentials: ["basic", ...names],
  }
}

async function makeKeyPackage({ identity, notBefore, notAfter, grease }) {
  const credential = { credentialType: "basic", identity: new TextEncoder().encode(identity) }
  const lifetime = { notBefore: BigInt(notBefore), notAfter: BigInt(notAfter) }
  const extensions = grease ? GREASE.map((kind) => ({ extensionType: kind, extensionData: bytes("aGk=") })) : []
  return mls.generateKeyPackage(credential, capabilities(grease), lifetime, extensions, suite, extensions)
}

// ts-mls has no Update proposals of its own: they are signed here, and their key is kept until a commit takes them in.
async function freshLeaf({ state, own }) {
  const { privateKey, publicKey } = await suite.hpke.generateKeyPair()
  const { leafIndex } = state.privatePath
  const { leaf } = state.ratchetTree[2 * leafIndex]
  const unsigned = {
    leafNodeSource: "update",
    hpkePublicKey: await suite.hpke.exportPublicKey(publicKey),
    signaturePublicKey: leaf.signaturePublicKey,
    credential: leaf.credential,
    capabilities: leaf.capabilities,
    extensions: leaf.extensions,
    groupId: state.groupContext.groupId,
    leafIndex,
  }
  const signed = await signLeafNodeCommit(unsigned, own.privatePackage.signaturePrivateKey, suite.signature)
  return { leafNode: signed, privateKey: await suite.hpke.exportPrivateKey(privateKey) }
}

async function proposal(member, { kind, keyPackage, leafIndex }) {
  if (kind === "add") return { proposalType: kind, add: { keyPackage: keyPackageOf(keyPackage) } }
  if (kind === "remove") return { proposalType: kind, remove: { removed: leafIndex } }
  const { leafNode, privateKey } = await freshLeaf(member)
  return { proposalType: "update", update: { leafNode }, privateKey } // the key stays here, apart from what is sent
}

const take = (message, state, decide) => mls.processMessage(message, state, mls.emptyPskIndex, decide, suite)

// Whether a commit takes in the member's own Update has to be known before its path is opened, with the new key.
async function takesInOwnUpdate(message, { state, proposedKey }) {
  let found = false
  if (proposedKey === undefined) return found
  const look = ({ kind, proposals = [] }) => {
    const own = ({ proposal: { proposalType }, senderLeafIndex }) =>
      proposalType === "update" && senderLeafIndex === state.privatePath.leafIndex
    found = kind === "commit" && proposals.some(own)
    return "reject"
  }
  await take(message, state, look)
  return found
}

function withProposedKey({ state, proposedKey }) {
  const { leafIndex, privateKeys } = state.privatePath
  return { ...state, privatePath: { leafIndex, privateKeys: { ...privateKeys, [2 * leafIndex]: proposedKey } } }
}

async function receive(member, { message }) {
  const decoded = decode(message, "mls_public_message", "mls_private_message")
  const state = (await takesInOwnUpdate(decoded, member)) ? withProposedKey(member) : member.state
  const result = await take(decoded, state, mls.acceptAll)
  if (result.newState.groupContext.epoch !== member.state.groupContext.epoch) member.proposedKey = undefined
  member.state = result.newState
  return { plaintext: result.kind === "applicationMessage" ? text(result.message) : null }
}

async function commit(member, { add, remove, public: wireAsPublicMessage }) {
  const added = add.map((data) => ({ proposalType: "add", add: { keyPackage: keyPackageOf(data) } }))
  const removed = remove.map((index) => ({ proposalType: "remove", remove: { removed: index } }))
  const made = await mls.createCommit(
    { state: member.state, cipherSuite: suite },
    { extraProposals: [...added, ...removed], wireAsPublicMessage, ratchetTreeExtension: true },
  )
  member.state = made.newState
  member.proposedKey = undefined
  const welcome = made.welcome && encode({ wireformat: "mls_welcome", welcome: made.welcome })
  return { message: encode(made.commit), welcome: welcome ?? null }
}

function view({ state }) {
  const leaves = state.ratchetTree.filter((_, index) => index % 2 === 0).map((node, leafIndex) => [leafIndex, node])
  return {
    epoch: Number(state.groupContext.epoch),
    active: state.groupActiveState.kind === "active",
    authenticator: text(state.keySchedule.epochAuthenticator),
    treeHash: text(state.groupContext.treeHash),
    members: leaves.filter(([, node]) => node).map(([leafIndex, { leaf }]) => [leafIndex, text(leaf.credential.identity)]),
  }
}

const operations = {
  keyPackage: async (member, request) => {
    Object.assign(member, { own: await makeKeyPackage(request), state: undefined, proposedKey: undefined })
    return { keyPackage: encode({ wireformat: "mls_key_package", keyPackage: member.own.publicPackage }) }
  },
  create: async (member, { groupId }) => {
    const { publicPackage, privatePackage } = member.own
    member.state = await mls.createGroup(bytes(groupId), publicPackage, privatePackage, [], suite)
  },
  join: async (member, { welcome: data }) => {
    const { publicPackage, privatePackage } = member.own
    const { welcome } = decode(data, "mls_welcome")
    member.state = await mls.joinGroup(welcome, publicPackage, privatePackage, mls.emptyPskIndex, suite)
  },
  send: async (member, { plaintext }) => {
    const { newState, privateMessage } = await mls.createApplicationMessage(member.state, bytes(plaintext), suite)
    member.state = newState
    return { message: encode({ wireformat: "mls_private_message", privateMessage }) }
  },
  propose: async (member, request) => {
    const { privateKey, ...proposed } = await proposal(member, request)
    const { newState, message } = await mls.createProposal(member.state, request.public, proposed, suite)
    Object.assign(member, { state: newState, proposedKey: privateKey ?? member.proposedKey })
    return { message: encode(message) }
  },
  export: async ({ state }, { label, context, length }) => {
    const secret = await mls.mlsExporter(state.keySchedule.exporterSecret, label, bytes(context), length, suite)
    return { secret: text(secret) }
  },
  receive,
  commit,
  view,
}

async function answer(line) {
  try {
    const { op, member: name, ...request } = JSON.parse(line)
    if (!members.has(name)) members.set(name, {})
    return { ok: true, ...(await operations[op](members.get(name), request)) }
  } catch (error) {
    return { ok: false, error: `${error?.name}: ${error?.message}` }
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`)
}
