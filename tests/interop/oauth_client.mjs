// openid-client as it is published: finds the server's metadata, gets a token, uses it, asks about it; and is refused.
//
// One line of JSON in: {issuer, orders, client, secret, asker, askerSecret, location}. One line of JSON out.
import * as oauth from "openid-client"

const lines = []
for await (const chunk of process.stdin) lines.push(chunk)
const { issuer, orders, client, secret, asker, askerSecret, location } = JSON.parse(lines.join(""))

// Plain http is for one machine only; the library wants to be told.
const options = { execute: [oauth.allowInsecureRequests], algorithm: "oauth2" }
const wrong = "A".repeat(43)

const found = (id, authentication) => oauth.discovery(new URL(location), id, undefined, authentication, options)

async function used(authentication) {
  const config = await found(client, authentication)
  const token = await oauth.clientCredentialsGrant(config, { scope: "orders.read" })
  const response = await oauth.fetchProtectedResource(config, token.access_token, new URL(orders), "GET")
  return { token, status: response.status, body: await response.json() }
}

async function refused(authentication, parameters = {}) {
  const config = await found(client, authentication)
  try {
    await oauth.clientCredentialsGrant(config, parameters)
    return null
  } catch (error) {
    return { code: error.code, error: error.error, status: error.status }
  }
}

const basic = await used(oauth.ClientSecretBasic(secret))
const post = await used(oauth.ClientSecretPost(secret))
const service = await found(asker, oauth.ClientSecretBasic(askerSecret))
console.log(
  JSON.stringify({
    issuer: service.serverMetadata().issuer === issuer,
    basic: { ...basic, token: { type: basic.token.token_type, expires: basic.token.expires_in } },
    post: { ...post, token: { type: post.token.token_type, expires: post.token.expires_in } },
    introspection: await oauth.tokenIntrospection(service, basic.token.access_token),
    wrong: {
      basic: await refused(oauth.ClientSecretBasic(wrong)),
      post: await refused(oauth.ClientSecretPost(wrong)),
      scope: await refused(oauth.ClientSecretBasic(secret), { scope: "orders.erase" }),
    },
  }),
)
