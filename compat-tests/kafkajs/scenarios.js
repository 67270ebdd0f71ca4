// KafkaJS against BOOTSTRAP. Its consumer always joins a group.
const assert = require("node:assert");
const { execSync } = require("node:child_process");
const { CompressionTypes, Kafka, logLevel } = require("kafkajs");

const kafka = new Kafka({
  clientId: "compat",
  brokers: [process.argv[2]],
  logLevel: logLevel.NOTHING,
  retry: { retries: 12, initialRetryTime: 100, maxRetryTime: 2000 },
});
const run = Date.now().toString(36);
const admin = kafka.admin();

const create = async (name, partitions = 1, configEntries = []) => {
  const topic = `${name}-${run}`;
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }] });
  return topic;
};
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => ({ partition: 0, value: `${from + i}` }));
const send = async (topic, messages, { settings = {}, ...options } = {}) => {
  const producer = kafka.producer(settings);
  await producer.connect();
  try {
    return await producer.send({ topic, messages, ...options });
  } finally {
    await producer.disconnect();
  }
};
const end = async (topic) => (await admin.fetchTopicOffsets(topic))[0].high;

// A consumer in a group, with what it was given; `joins` counts how often it joined.
const join = async (groupId, topic) => {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 20_000, heartbeatInterval: 200, maxWaitTimeInMs: 200, retry: { retries: 20, maxRetryTime: 500 } });
  const member = { consumer, values: [], partitions: [], joins: 0 };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.joins += 1;
    member.partitions = payload.memberAssignment[topic] ?? [];
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => void member.values.push(message.value.toString()) });
  return member;
};
const until = async (condition) => {
  for (const deadline = Date.now() + 30_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < deadline, "the condition never came true");
  }
};
const fill = (topic, from, to) => send(topic, numbers(from, to).map((message, i) => ({ ...message, partition: i % 4 })));
const sorted = (from, to) => numbers(from, to).map(({ value }) => value).sort();
const valuesOf = (members) => members.flatMap(({ values }) => values).sort();
// Two members, the broker goes and comes back, and nothing happened: nobody joined again, each record came once.
const undisturbedBy = async (restart, name) => {
  const topic = await create(`undisturbed-${name}`, 4);
  const members = [await join(`${name}-${run}`, topic), await join(`${name}-${run}`, topic)];
  await until(() => members.every(({ partitions }) => partitions.length === 2));
  await fill(topic, 0, 100);
  await until(() => valuesOf(members).length >= 100);
  const joins = members.map((member) => member.joins);
  execSync(restart, { stdio: "ignore" });
  await fill(topic, 100, 200);
  await until(() => valuesOf(members).length >= 200);
  assert.deepStrictEqual(valuesOf(members), sorted(0, 200));
  assert.deepStrictEqual(members.map((member) => member.joins), joins);
  for (const { consumer } of members) await consumer.disconnect();
};

const scenarios = {
  async create_topic_explicitly() {
    const topic = await create("explicit", 3);
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    assert.strictEqual(topics[0].partitions.length, 3);
  },
  async create_topic_by_first_use() {
    const [answer] = await send(`first-use-${run}`, [{ partition: 0, value: "a" }]);
    assert.strictEqual(answer.baseOffset, "0");
  },
  async produce_with_each_acks() {
    const topic = await create("acks");
    for (const acks of [0, 1, -1]) await send(topic, numbers(0, 1), { acks });
    assert.strictEqual(await end(topic), "3");
  },
  async gzip() {
    const topic = await create("gzip");
    await send(topic, numbers(0, 100), { compression: CompressionTypes.GZIP });
    assert.strictEqual(await end(topic), "100");
  },
  async keys_headers_and_nulls() {
    const topic = await create("headers");
    await send(topic, [{ partition: 0, key: "k", value: null, headers: { one: "1", two: ["2", "3"] } }]);
    assert.strictEqual(await end(topic), "1");
  },
  async idempotent_producer() {
    const topic = await create("idempotent");
    await send(topic, numbers(0, 1000), { settings: { idempotent: true, maxInFlightRequests: 1 } });
    assert.strictEqual(await end(topic), "1000");
  },
  async offset_by_time() {
    const topic = await create("by-time");
    const start = 1_700_000_000_000;
    const messages = numbers(0, 10).map((message, i) => ({ ...message, timestamp: `${start + i * 1000}` }));
    for (const message of messages) await send(topic, [message]);
    assert.strictEqual((await admin.fetchTopicOffsetsByTimestamp(topic, start + 4500))[0].offset, "5");
  },
  async commit_and_read_offsets() {
    const topic = await create("commit");
    const groupId = `group-${run}`;
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: "7" }] });
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
    assert.strictEqual(found.partitions[0].offset, "7");
  },
  async kill_and_restart_in_between() {
    const topic = await create("restart");
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    await producer.send({ topic, messages: numbers(0, 500) });
    const pending = producer.send({ topic, messages: numbers(500, 600) });
    execSync(process.env.BROKER_RESTART, { stdio: "ignore" });
    await pending;
    await producer.send({ topic, messages: numbers(600, 1000) });
    await producer.disconnect();
    assert.strictEqual(await end(topic), "1000");
  },
  async consume_from_the_beginning() {
    const topic = await create("consume");
    await send(topic, numbers(0, 10));
    const member = await join(`consume-${run}`, topic);
    await until(() => member.values.length === 10);
    assert.deepStrictEqual(member.values, numbers(0, 10).map(({ value }) => value));
    await member.consumer.disconnect();
  },
  async read_past_records_that_are_missing() {
    const topic = await create("holes", 1, [{ name: "message.dedup.mode", value: "window" }]);
    const withIds = (letters) => send(topic, [...letters].map((value) => ({ partition: 0, value, headers: { "message-id": value } })));
    // The first record is missing, one in the middle, and the last, at the end of the log.
    for (const letters of ["ab", "bcd", "eaf", "gba"]) await withIds(letters);
    const member = await join(`holes-${run}`, topic);
    let fetches = 0;
    member.consumer.on(member.consumer.events.FETCH, () => (fetches += 1));
    await until(() => member.values.length >= 7);
    assert.deepStrictEqual(member.values, [..."abcdefg"]);
    fetches = 0;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    assert.ok(fetches < 20, `${fetches} fetches in 2 s of at least 200 ms: it spins at the end`);
    await withIds("h");
    await until(() => member.values.length >= 8);
    assert.strictEqual(member.values[7], "h");
    await member.consumer.disconnect();
  },
  async group_shares_partitions() {
    const topic = await create("shared", 4);
    const members = [await join(`shared-${run}`, topic), await join(`shared-${run}`, topic)];
    await until(() => members.every((member) => member.partitions.length === 2));
    await fill(topic, 0, 100);
    await until(() => valuesOf(members).length >= 100);
    assert.deepStrictEqual(valuesOf(members), sorted(0, 100));
    assert.strictEqual(members[0].values.length, 50);
    const committed = [0, 1, 2, 3].map((partition) => ({ topic, partition, offset: "25" }));
    for (const { consumer, partitions } of members) await consumer.commitOffsets(partitions.map((partition) => committed[partition]));
    await members[1].consumer.disconnect();
    await until(() => members[0].partitions.length === 4);
    await fill(topic, 100, 140);
    await until(() => valuesOf(members).length >= 140);
    assert.deepStrictEqual(valuesOf(members), sorted(0, 140));
    await members[0].consumer.disconnect();
  },
  async group_goes_on_at_the_committed_offset() {
    const topic = await create("resume");
    const groupId = `resume-${run}`;
    await send(topic, numbers(0, 100));
    const first = await join(groupId, topic);
    await until(() => first.values.length === 100);
    await first.consumer.commitOffsets([{ topic, partition: 0, offset: "60" }]);
    await first.consumer.disconnect();
    const second = await join(groupId, topic);
    await until(() => second.values.length === 40);
    second.consumer.seek({ topic, partition: 0, offset: "97" });
    await until(() => second.values.length === 43);
    assert.deepStrictEqual(second.values.slice(40), ["97", "98", "99"]);
    await second.consumer.disconnect();
    await admin.deleteGroups([groupId]);
  },
  async group_is_undisturbed_by_a_stop_and_start() {
    await undisturbedBy(`${process.env.BROKER_STOP}; ${process.env.BROKER_RESTART}`, "stop");
  },
  async group_is_undisturbed_by_a_kill() {
    await undisturbedBy(process.env.BROKER_RESTART, "kill");
  },
};

(async () => {
  await admin.connect();
  for (const [name, scenario] of Object.entries(scenarios)) {
    try {
      await scenario();
      console.log(`PASS ${name}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`FAIL ${name} ${error.message}`);
      console.error(error);
    }
  }
  await admin.disconnect();
  process.exit();
})();
