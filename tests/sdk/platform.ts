/** A platform's own page, as the compiler sees it: all that the SDK offers, used; and what it must
 * refuse. Compiled by test_types.py, never run. */
import {
  RequestError,
  TiproomClient,
  type HistoryEvent,
  type Lost,
  type Snapshot,
} from "../../server/web/sdk/client.js";
import { CLOSES, ERRORS, reconnects } from "../../server/web/sdk/codes.js";

const client = new TiproomClient({
  url: "wss://example.org/rooms/room-1",
  fetchCredentials: async () => ({ token: "signed", expiresAtMs: Date.now() + 60_000 }),
  codec: "json",
});

client.addEventListener("status", ({ detail }) => {
  if (detail.state === "waiting") console.log(detail.retryInMs?.toFixed(), detail.reason);
});
client.addEventListener("lost", ({ detail }: CustomEvent<Lost>) => {
  console.log(detail.count === null ? "the room has started anew" : `${detail.count} lost`);
});
client.addEventListener("snapshot", ({ detail }: CustomEvent<Snapshot>) => {
  const missed: ReadonlyArray<HistoryEvent> = detail.missed;
  console.log(detail.recovered, missed.length, detail.room.tipOptions[0]?.amount);
});
client.addEventListener("tipNotice", ({ detail }) => {
  if (!detail.late) console.log(detail.username, detail.amount + 1);
});
client.addEventListener("presenceChanged", ({ detail }) => {
  for (const { username, state } of detail.here) console.log(username, state === "away");
});
client.addEventListener("typingChanged", ({ detail }) => console.log(detail.typing.count));
document.addEventListener("visibilitychange", () => client.setAway(document.hidden));
client.addEventListener("publicMessage", ({ detail }) => console.log(detail.content, detail.mood));
client.addEventListener("privateMessage", ({ detail }) => {
  client.tell({ type: "messageDelivered", messageId: detail.messageId });
  client.tell({ type: "messageRead", messageId: detail.messageId });
});
client.addEventListener("receiptWanted", ({ detail }) => console.log(detail.messageId));
client.addEventListener("moodChanged", ({ detail }) => console.log(detail.expiresAt?.toFixed()));
client.addEventListener("command", ({ detail }) => {
  client.tell({ type: "commandAccepted", commandId: detail.commandId });
});

export async function tip(amount: number): Promise<number | undefined> {
  const broadcastId = client.room?.broadcastId;
  if (!broadcastId) return undefined;
  try {
    const question = { type: "tip", tipId: "tip-1", broadcastId, amount } as const;
    const receipt = await client.request(question, { resend: true });
    return receipt.balance;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    if (error.code === "DISCONNECTED" || error.code === "CLOSED") return undefined;
    const { retry, text }: { retry: boolean; text: string } = ERRORS[error.code];
    console.log(retry, text, error.retryAfterS ?? 0);
    return undefined;
  }
}

export async function act(): Promise<void> {
  const stopped: null = await client.request({ type: "stopToys" }, { resend: true });
  const { broadcastId } = await client.request({ type: "startBroadcast" });
  await client.setPreferences({ reactToMyTips: true });
  client.reportToys([{ id: "toy-1", battery: "80" }]);
  client.reportSettings(null);
  const { members, next } = await client.request({ type: "listMembers", limit: 20 });
  client.tell({ type: "typing" });
  console.log(members[0]?.username, next);
  console.log(stopped, broadcastId, client.self?.balance, client.viewers, client.serverNowMs());
  console.log(reconnects(CLOSES.GOING_AWAY.code));
}

client.start();
client.close();

// ---- what must not compile ----------------------------------------------------------------------

// @ts-expect-error no such frame
client.addEventListener("tipNotices", () => undefined);
// @ts-expect-error no such field of this frame
client.addEventListener("tipNotice", ({ detail }) => detail.userId);
// @ts-expect-error an amount is a number
void client.request({ type: "tip", tipId: "t", broadcastId: "b", amount: "5" });
// @ts-expect-error a tip has an id
void client.request({ type: "tip", broadcastId: "b", amount: 5 });
// @ts-expect-error the client gives the ref
void client.request({ type: "stopToys", ref: 1 });
// @ts-expect-error the client connects by itself
void client.request({ type: "connect", token: "signed" });
// @ts-expect-error what is asked has an answer, and is not told
client.tell({ type: "stopToys" });
// @ts-expect-error the state is the server's
client.viewers = 5;
// @ts-expect-error no integration of a model's page
new TiproomClient({ url: "", fetchCredentials: async () => ({ token: "" }), integration: "BASIC" });
