// A js-libp2p node against Subrosa's relays: identify, ping, the distributed hash table, and a circuit over a relay.
//
// Arguments: two or more relays' addresses (/ip4/…/tcp/…/p2p/…), then the multihash, in hexadecimal, under which relays
// announce themselves. Prints one JSON object per finding, and ends with status 0 if all of them hold.

import './node20.mjs'

import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as digest from 'multiformats/hashes/digest'

const KAD = '/subrosa/kad/1'
const PATIENCE = 60_000

const relays = process.argv.slice(2, -1).map((text) => multiaddr(text))
const announced = Buffer.from(process.argv.at(-1), 'hex')

function say (finding, details = {}) {
  console.log(JSON.stringify({ finding, ...details }))
}

function check (condition, what) {
  if (!condition) {
    throw new Error(what)
  }
}

async function until (what, probe) {
  const end = Date.now() + PATIENCE
  let last
  while (Date.now() < end) {
    try {
      const value = await probe()
      if (value) return value
    } catch (error) {
      last = error
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`no ${what}${last === undefined ? '' : `: ${last} ${(last.errors ?? []).map((e) => e.stack ?? e).join('; ')}`}`)
}

function node (listen) {
  return createLibp2p({
    addresses: { listen },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: KAD,
        clientMode: true,
        peerInfoMapper: passthroughMapper,
        validators: { 'sr-meet': async () => {} },
        selectors: { 'sr-meet': () => 0 }
      })
    }
  })
}

const first = await node([])
const second = await node([`${relays[0]}/p2p-circuit`])
try {
  // Identify and ping.
  const connection = await until('connection to the relay', async () => await first.dial(relays[0]))
  const relay = connection.remotePeer
  const known = await until('answer to identify', async () => {
    const peer = await first.peerStore.get(relay)
    return peer.protocols.includes(KAD) ? peer : undefined
  })
  const agent = new TextDecoder().decode(known.metadata.get('AgentVersion'))
  say('identify', { agent, protocols: known.protocols })
  check(agent === 'p2p', `the agent says more than it should: ${agent}`)
  check(known.protocols.includes('/libp2p/circuit/relay/0.2.0/hop'), 'the relay serves no circuits')
  check(known.protocols.includes('/libp2p/autonat/2/dial-request'), 'the relay probes no addresses')
  // A busy machine may let one try run into its deadline.
  const direct = await until('answer to ping', async () => ({ rtt: await first.services.ping.ping(relays[0]) }))
  say('ping', { rtt_ms: direct.rtt })

  // The distributed hash table: who provides relays, and a record that this node stores and the other finds.
  const cid = CID.createV1(0x55, digest.decode(announced))
  const providers = await until('providers', async () => {
    const found = new Set()
    for await (const provider of first.contentRouting.findProviders(cid)) {
      found.add(provider.id.toString())
    }
    return found.size >= relays.length ? found : undefined
  })
  say('providers', { count: providers.size })
  for (const address of relays) {
    check(providers.has(address.getComponents().find((c) => c.name === 'p2p').value), `${address} is not announced`)
  }
  const key = Buffer.concat([Buffer.from('/sr-meet/'), Buffer.alloc(32, 0x51)])
  const value = new Uint8Array(2048).fill(0x42)
  await first.contentRouting.put(key, value)
  await until('connection', async () => await second.dial(relays.at(-1)))
  const stored = await until('record', async () => await second.contentRouting.get(key))
  check(Buffer.from(stored).equals(Buffer.from(value)), 'the record came back changed')
  say('record', { bytes: stored.length })

  // A circuit over the relay.
  const circuit = await until('reservation', async () =>
    second.getMultiaddrs().find((address) => address.toString().includes('/p2p-circuit')))
  const relayed = await until('circuit', async () => await first.dial(circuit))
  check(relayed.remoteAddr.toString().includes('/p2p-circuit'), 'the connection is no circuit')
  check(relayed.remotePeer.equals(second.peerId), 'the circuit leads to somebody else')
  const over = await until('answer over the circuit', async () =>
    ({ rtt: await first.services.ping.ping(circuit, { runOnLimitedConnection: true }) }))
  say('circuit', { rtt_ms: over.rtt })
  say('done')
} catch (error) {
  say('failed', { why: String(error?.stack ?? error) })
  process.exitCode = 1
} finally {
  await Promise.race([Promise.all([first.stop(), second.stop()]), new Promise((resolve) => setTimeout(resolve, 2_000))])
  process.exit()
}
