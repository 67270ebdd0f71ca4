// KafkaJS against BOOTSTRAP. Its consumer always joins a group, so what it fetches is read by way of its admin and producer
// here until groups exist; scenarios that need a consumer stand in `not-yet`.
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

const create = async (name, partitions = 1) => {
  const topic = `${name}-${run}`;
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] });
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
    const consumer = kafka.consumer({ groupId: `consume-${run}`, retry: { retries: 0 } });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic, fromBeginning: true });
      const found = [];
      await new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(`${found.length} of 10 records`)), 20_000).unref();
        consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
        const eachMessage = async ({ message }) => {
          found.push(message.value.toString());
          if (found.length === 10) resolve();
        };
        consumer.run({ eachMessage }).catch(reject);
      });
      assert.deepStrictEqual(found, numbers(0, 10).map(({ value }) => value));
    } finally {
      await consumer.disconnect();
    }
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
