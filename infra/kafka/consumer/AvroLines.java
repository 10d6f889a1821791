import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.MessageFormatter;

/**
 * Prints each message of a feed as one line of JSON, for Kafka's own console consumer: where it lies, when it arrived, its key,
 * and the record.
 *
 * <p>The property <code>schemas</code> names the folder with the versions of every feed's schema (schemas/kept), by which the id in
 * front of a record is understood; no registry is asked. A value that cannot be read is printed with the reason and its bytes
 * (Base64), and its neighbours pass. A message without value (a tombstone, or a mark) has the record null.
 */
public final class AvroLines implements MessageFormatter {
    private static final int HEAD_BYTES = 5;

    private final ObjectMapper json = new ObjectMapper();
    private final Map<Integer, Schema> schemas = new HashMap<>();

    @Override
    public void configure(Map<String, ?> configs) {
        Object folder = configs.get("schemas");
        if (folder == null) {
            throw new IllegalArgumentException("schemas must be given (got none): --formatter-property schemas=schemas/kept");
        }
        try (DirectoryStream<Path> feeds = Files.newDirectoryStream(Path.of(folder.toString()), "*.jsonl")) {
            for (Path feed : feeds) {
                for (String line : Files.readAllLines(feed)) {
                    JsonNode told = json.readTree(line);
                    schemas.put(told.get("id").asInt(), new Schema.Parser().parse(told.get("schema").toString()));
                }
            }
        } catch (IOException fault) {
            throw new UncheckedIOException("schemas must be a folder of kept versions (got " + folder + "): schemas/kept in the clone", fault);
        }
    }

    @Override
    public void writeTo(ConsumerRecord<byte[], byte[]> message, PrintStream output) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", message.topic());
        line.put("partition", message.partition());
        line.put("offset", message.offset());
        line.put("arrived", Instant.ofEpochMilli(message.timestamp()).toString());
        line.put("key", message.key() == null ? null : new String(message.key(), StandardCharsets.UTF_8));
        try {
            line.put("record", message.value() == null ? null : record(message.value()));
        } catch (IOException | RuntimeException fault) {
            line.put("unreadable", fault.getMessage());
            line.put("raw", Base64.getEncoder().encodeToString(message.value()));
        }
        try {
            byte[] text = json.writeValueAsBytes(line);
            output.write(text, 0, text.length);
            output.write('\n');
        } catch (IOException fault) {
            throw new UncheckedIOException(fault);
        }
    }

    private Object record(byte[] value) throws IOException {
        if (value.length < HEAD_BYTES || value[0] != 0) {
            throw new IOException("value must begin with byte 0 and a schema id");
        }
        int id = ByteBuffer.wrap(value, 1, 4).getInt();
        Schema schema = schemas.get(id);
        if (schema == null) {
            throw new IOException("schema id must be a kept version (got " + id + "): bring the clone up to date");
        }
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(value, HEAD_BYTES, value.length - HEAD_BYTES, null);
        Object record = new GenericDatumReader<Object>(schema).read(null, decoder);
        if (!decoder.isEnd()) {
            throw new IOException("value must end with its record (got bytes behind it)");
        }
        return plain(record, schema);
    }

    /** What JSON knows: times as ISO 8601 in UTC, bytes in Base64. */
    private static Object plain(Object value, Schema schema) {
        if (value == null) {
            return null;
        }
        switch (schema.getType()) {
            case UNION:
                return plain(value, schema.getTypes().get(GenericData.get().resolveUnion(schema, value)));
            case RECORD:
                Map<String, Object> fields = new LinkedHashMap<>();
                for (Schema.Field field : schema.getFields()) {
                    fields.put(field.name(), plain(((IndexedRecord) value).get(field.pos()), field.schema()));
                }
                return fields;
            case ARRAY:
                return ((Collection<?>) value).stream().map(each -> plain(each, schema.getElementType())).toList();
            case LONG:
                boolean time = schema.getLogicalType() != null && schema.getLogicalType().getName().equals("timestamp-millis");
                return time ? Instant.ofEpochMilli((Long) value).toString() : value;
            case BYTES:
                byte[] bytes = new byte[((ByteBuffer) value).remaining()];
                ((ByteBuffer) value).duplicate().get(bytes);
                return Base64.getEncoder().encodeToString(bytes);
            case STRING:
            case ENUM:
                return value.toString();
            default:
                return value;
        }
    }
}
