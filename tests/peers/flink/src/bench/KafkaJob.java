package bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.*;
import org.apache.flink.api.common.state.*;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.*;
import org.apache.flink.connector.kafka.source.*;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.annotation.JsonPropertyOrder;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.*;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.*;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.annotation.*;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * From the topic events to the topic out, as tests/jobs/kafka-{pass,count}.toml: case=kafka-pass|kafka-count brokers=.. delivery=at-least-once|exactly-once.
 * With n=EVENTS bounded, twice in this process: to the topic warm, then to out; a RESULT line for each, from its first event until the job is over.
 * Without, until it is killed; it prints RUNNING first.
 */
class KafkaJob {
  private static final int BROKERS_TRANSACTION_MS_MAX = 900_000; // the brokers' default; the connector's is an hour, which they refuse

  interface Keyed { String key(); }

  @JsonPropertyOrder({"key", "timestamp", "value", "payload"})
  public static class Event implements Keyed {
    public String key; public long timestamp, value;
    @JsonSerialize(using = ToHex.class) @JsonDeserialize(using = FromHex.class) public byte[] payload;
    public Event() {}
    public String key() { return key; }
  }
  @JsonPropertyOrder({"key", "count", "value"})
  public static class Counted implements Keyed {
    public String key; public long count, value;
    public Counted() {}
    public String key() { return key; }
  }
  /** Wasmill's bytes in JSON are hexadecimal. */
  static class FromHex extends JsonDeserializer<byte[]> {
    public byte[] deserialize(JsonParser p, DeserializationContext c) throws IOException {
      int from = p.getTextOffset(); return HexFormat.of().parseHex(p.getTextCharacters(), from, from + p.getTextLength());
    }
  }
  static class ToHex extends JsonSerializer<byte[]> {
    public void serialize(byte[] b, JsonGenerator g, SerializerProvider s) throws IOException { g.writeString(HexFormat.of().formatHex(b)); }
  }

  static class Parse extends AbstractDeserializationSchema<Event> {
    private transient ObjectReader reader; private transient boolean begun;
    Parse() { super(Event.class); }
    public void open(InitializationContext c) { reader = new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false).readerFor(Event.class); }
    public Event deserialize(byte[] json) throws IOException {
      if (!begun) { begun = true; BEGUN.compareAndSet(null, new Begun()); }
      return reader.readValue(json);
    }
  }
  static class Write<T extends Keyed> implements KafkaRecordSerializationSchema<T> {
    private final String topic; private final Class<T> type; private transient ObjectWriter writer;
    Write(String topic, Class<T> type) { this.topic = topic; this.type = type; }
    public void open(SerializationSchema.InitializationContext c, KafkaSinkContext s) { writer = new ObjectMapper().writerFor(type); }
    public ProducerRecord<byte[], byte[]> serialize(T t, KafkaSinkContext c, Long time) {
      try { return new ProducerRecord<>(topic, t.key().getBytes(StandardCharsets.UTF_8), writer.writeValueAsBytes(t)); }
      catch (JsonProcessingException e) { throw new IllegalStateException(e); }
    }
  }
  /** As plugins/count. */
  static class Count extends KeyedProcessFunction<String, Event, Counted> {
    private transient ValueState<Long> counts;
    public void open(OpenContext c) { counts = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG)); }
    public void processElement(Event e, Context c, Collector<Counted> out) throws IOException {
      Long before = counts.value(); long count = before == null ? 1 : before + 1; counts.update(count);
      Counted counted = new Counted(); counted.key = c.getCurrentKey(); counted.count = count;
      counted.value = e.timestamp ^ e.value ^ (e.payload.length > 0 ? e.payload[0] & 0xff : 0);
      out.collect(counted);
    }
  }

  /** What the process had used when the first event of a run came. */
  static final class Begun { final long at = System.nanoTime(), gc = Meter.gc(); final double[] cpu = Meter.cpu(), machine = Meter.machine(); }
  static final AtomicReference<Begun> BEGUN = new AtomicReference<>();

  static StreamExecutionEnvironment job(String to, boolean bounded) {
    Bench.o.put("c.restart-strategy.type", "none");
    StreamExecutionEnvironment env = Bench.env();
    KafkaSourceBuilder<Event> source = KafkaSource.<Event>builder().setBootstrapServers(Bench.get("brokers", "127.0.0.1:9092")).setTopics("events")
        .setStartingOffsets(OffsetsInitializer.earliest()).setValueOnlyDeserializer(new Parse());
    if (bounded) source.setBounded(OffsetsInitializer.latest());
    DataStream<Event> events = env.fromSource(source.build(), WatermarkStrategy.noWatermarks(), "events");
    if (Bench.get("case", "").equals("kafka-pass")) events.sinkTo(sink(to, Event.class));
    else events.keyBy(e -> e.key, Types.STRING).process(new Count()).sinkTo(sink(to, Counted.class));
    return env;
  }
  static <T extends Keyed> KafkaSink<T> sink(String to, Class<T> type) {
    KafkaSinkBuilder<T> sink = KafkaSink.<T>builder().setBootstrapServers(Bench.get("brokers", "127.0.0.1:9092")).setRecordSerializer(new Write<>(to, type));
    if (Bench.get("delivery", "at-least-once").equals("at-least-once")) return sink.setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE).build();
    return sink.setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).setTransactionalIdPrefix(to).setProperty("transaction.timeout.ms", "" + BROKERS_TRANSACTION_MS_MAX).build();
  }

  static void run(Meter.Conf mc) throws Exception {
    long events = Bench.num("n", 0);
    if (events == 0) { endless(); return; }
    for (String to : List.of("warm", "out")) {
      BEGUN.set(null);
      job(to, true).execute(to);
      Begun from = Objects.requireNonNull(BEGUN.get(), "there was no event");
      double s = (System.nanoTime() - from.at) * 1e-9; double[] cpu = Meter.cpu(), machine = Meter.machine();
      double user = cpu[0] - from.cpu[0], sys = cpu[1] - from.cpu[1];
      System.out.printf(Locale.ROOT, "RESULT {\"name\":\"%s\",\"to\":\"%s\",\"secs\":%.2f,\"rate\":%.0f,\"user\":%.2f,\"sys\":%.2f,\"percore\":%.0f,\"cores\":%.2f,\"gc_ms\":%d,\"rss_mb\":%d,\"others\":%.2f}%n",
          mc.name, to, s, events / s, user, sys, events / (user + sys), (user + sys) / s, Meter.gc() - from.gc, Meter.status("VmRSS") / 1024, (machine[0] - from.machine[0] - user - sys) / s);
    }
    System.out.flush(); Runtime.getRuntime().halt(0);
  }
  static void endless() throws Exception {
    var job = job("out", false).executeAsync("out");
    while (job.getJobStatus().get() != JobStatus.RUNNING) Thread.sleep(50);
    System.out.println("RUNNING"); System.out.flush();
    job.getJobExecutionResult().get();
    throw new IllegalStateException("an endless job has ended");
  }
}
