import java.nio.charset.StandardCharsets;

/** Sets the password of user neo4j to what comes by standard input, so that it is in no argument. */
public final class InitialPassword {
    public static void main(String[] arguments) throws Exception {
        String password = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        org.neo4j.cli.AdminTool.main(new String[] {"dbms", "set-initial-password", password});
    }
}
