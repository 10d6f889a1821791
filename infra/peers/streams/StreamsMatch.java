import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.DslStoreSuppliers;

/**
 * The match with Kafka Streams: a windowed join by cell of two topics, distance on the ellipsoid in the joiner, to a file.
 *
 * <p>Keys are cells, values 24 bytes: number, latitude, longitude. Each left event lies there seven times, under the cells around it.
 * Stores have no change log. Arguments: brokers, name, left topic, right topic, messages in both, file for the pairs, folder, store
 * (memory or rocksdb), how late an event may be (minutes), how far apart a pair may be in time (minutes) and on the ground (m). Prints
 * <code>begin</code> at the first message, <code>so far N</code> messages now and then, and <code>done</code> behind the last one.
 */
public final class StreamsMatch {
    private static final double A_M = 6378137.0;
    private static final double E2 = 0.006694379990141317;

    private StreamsMatch() {}

    public static void main(String[] given) throws Exception {
        long messages = Long.parseLong(given[4]);
        Duration late = Duration.ofMinutes(Long.parseLong(given[8]));
        Duration within = Duration.ofMinutes(Long.parseLong(given[9]));
        double metres = Double.parseDouble(given[10]);
        PrintStream pairs = new PrintStream(new BufferedOutputStream(Files.newOutputStream(Path.of(given[5]))));
        AtomicLong count = new AtomicLong();

        StreamsBuilder builder = new StreamsBuilder();
        Serde<Long> cell = Serdes.Long();
        Serde<byte[]> event = Serdes.ByteArray();
        KStream<Long, byte[]> left = builder.stream(given[2], Consumed.with(cell, event));
        KStream<Long, byte[]> right = builder.stream(given[3], Consumed.with(cell, event));
        DslStoreSuppliers store =
                given[7].equals("memory") ? new BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers() : new BuiltInDslStoreSuppliers.RocksDBDslStoreSuppliers();
        left.join(
                        right,
                        (l, r) -> pair(ByteBuffer.wrap(l), ByteBuffer.wrap(r), metres),
                        JoinWindows.ofTimeDifferenceAndGrace(within, late),
                        StreamJoined.with(cell, event, event).withDslStoreSuppliers(store).withLoggingDisabled())
                .filter((key, pair) -> pair != null)
                .foreach((key, pair) -> pairs.append(pair).append('\n'));
        // Behind the join: a message that is counted has met its partners.
        left.foreach((key, value) -> counted(count, messages, pairs));
        right.foreach((key, value) -> counted(count, messages, pairs));

        KafkaStreams running = new KafkaStreams(builder.build(), settings(given));
        running.start();
        while (count.get() < messages) {
            Thread.sleep(500);
            System.out.println("so far " + count.get());
        }
        Thread.currentThread().join();
    }

    private static Properties settings(String[] given) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, given[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given[6]);
        settings.put("auto.offset.reset", "earliest");
        return settings;
    }

    private static void counted(AtomicLong count, long messages, PrintStream pairs) {
        long now = count.incrementAndGet();
        if (now == 1) {
            System.out.println("begin");
        }
        if (now == messages) {
            pairs.close();
            System.out.println("done");
        }
    }

    /** Gauss' mid-latitude formula on WGS84; without the terms of third order, which are less than a micrometre at 50 m. */
    private static String pair(ByteBuffer left, ByteBuffer right, double within) {
        double north = right.getDouble(8) - left.getDouble(8);
        if (Math.abs(north) * 110500.0 > within) {
            return null;
        }
        double middle = Math.toRadians((left.getDouble(8) + right.getDouble(8)) / 2);
        double sin = Math.sin(middle);
        double w2 = 1 - E2 * sin * sin;
        double across = A_M / Math.sqrt(w2) * Math.cos(middle) * Math.toRadians(right.getDouble(16) - left.getDouble(16));
        double along = A_M * (1 - E2) / (w2 * Math.sqrt(w2)) * Math.toRadians(north);
        return across * across + along * along <= within * within ? left.getLong(0) + "," + right.getLong(0) : null;
    }
}
