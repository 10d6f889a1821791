import java.nio.file.Path;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

/**
 * The match as Flink SQL: an interval join on cells, distance on the ellipsoid in the WHERE, from two CSV files to one. Parallelism 1.
 *
 * <p>Its left events carry the seven cells around them, its right events their own, so each pair meets in one cell and is found once.
 * Arguments: left file, right file, folder for the pairs, how late an event may be (minutes), how far apart a pair may be in time (minutes) and on
 * the ground (m). Prints <code>begin</code> when the job runs and <code>done</code> when the last pair is written.
 */
public final class FlinkMatch {
    private static final int CELLS = 7;

    private FlinkMatch() {}

    public static void main(String[] given) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("parallelism.default", "1");
        settings.setString("pipeline.object-reuse", "true");
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        String disk = IntStream.range(0, CELLS).mapToObj(nth -> "cell" + nth).collect(Collectors.joining(", "));
        String typed = IntStream.range(0, CELLS).mapToObj(nth -> "cell" + nth + " BIGINT").collect(Collectors.joining(", "));
        tables.executeSql(side("brakes", typed, given[0], given[3]));
        tables.executeSql(side("reports", "cell BIGINT", given[1], given[3]));
        tables.executeSql(
                "CREATE TABLE pairs (l BIGINT, r BIGINT) WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = '" + uri(given[2]) + "')");
        tables.executeSql(
                "CREATE VIEW around AS SELECT event, seen, lat, lon, near.cell FROM brakes CROSS JOIN UNNEST(ARRAY[" + disk + "]) AS near (cell)");
        TableResult job = tables.executeSql(join(given[4], given[5]));
        begun(job);
        System.out.println("begin");
        job.await();
        System.out.println("done");
        Thread.currentThread().join();
    }

    private static String side(String name, String cells, String path, String late) {
        return "CREATE TABLE " + name + " (event BIGINT, ms BIGINT, lat DOUBLE, lon DOUBLE, " + cells + ", seen AS TO_TIMESTAMP_LTZ(ms, 3), "
                + "WATERMARK FOR seen AS seen - INTERVAL '" + late + "' MINUTE) "
                + "WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = '" + uri(path) + "')";
    }

    /** Gauss' mid-latitude formula on WGS84; without the terms of third order, which are less than a micrometre at 50 m. */
    private static String join(String within, String metres) {
        String span = "INTERVAL '" + within + "' MINUTE";
        String middle = "SIN(RADIANS((a.lat + b.lat) / 2))";
        String w2 = "(1 - 0.00669437999014131700e0 * " + middle + " * " + middle + ")";
        String across = "(6378137e0 / SQRT(" + w2 + ") * COS(RADIANS((a.lat + b.lat) / 2)) * RADIANS(b.lon - a.lon))";
        String along = "(6378137e0 * 0.99330562000985868300e0 / (" + w2 + " * SQRT(" + w2 + ")) * RADIANS(b.lat - a.lat))";
        return "INSERT INTO pairs SELECT a.event, b.event FROM around a, reports b WHERE a.cell = b.cell "
                + "AND b.seen BETWEEN a.seen - " + span + " AND a.seen + " + span
                + " AND ABS(a.lat - b.lat) * 110500e0 <= " + metres + "e0"
                + " AND " + across + " * " + across + " + " + along + " * " + along + " <= " + metres + "e0 * " + metres + "e0";
    }

    private static void begun(TableResult job) throws InterruptedException, ExecutionException {
        while (job.getJobClient().orElseThrow().getJobStatus().get() == JobStatus.CREATED
                || job.getJobClient().orElseThrow().getJobStatus().get() == JobStatus.INITIALIZING) {
            Thread.sleep(5);
        }
    }

    private static String uri(String path) {
        return Path.of(path).toAbsolutePath().toUri().toString();
    }
}
